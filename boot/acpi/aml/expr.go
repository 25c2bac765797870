package aml

import "fmt"

// Arg is the n-th argument (0 to 6) of the enclosing method.
func Arg(n int) Term {
	if n < 0 || n > 6 {
		panic(fmt.Sprintf("aml: Arg%d", n))
	}
	return Term{opArg0 + byte(n)}
}

// Local is the n-th local variable (0 to 7) of the enclosing method.
func Local(n int) Term {
	if n < 0 || n > 7 {
		panic(fmt.Sprintf("aml: Local%d", n))
	}
	return Term{opLocal0 + byte(n)}
}

// Call invokes a method.
func Call(method string, args ...Term) Term {
	return Concat(Path(method), Concat(args...))
}

// Store writes value to target.
func Store(value, target Term) Term { return Concat(Term{opStore}, value, target) }

// The two-operand operators below leave their result in target. A nil target
// discards it, so that the term is used for its value alone.

// Add is a + b.
func Add(a, b, target Term) Term { return binaryOp(opAdd, a, b, target) }

// Subtract is a - b.
func Subtract(a, b, target Term) Term { return binaryOp(opSubtract, a, b, target) }

// ShiftLeft is a << count.
func ShiftLeft(a, count, target Term) Term { return binaryOp(opShiftLeft, a, count, target) }

// ShiftRight is a >> count.
func ShiftRight(a, count, target Term) Term { return binaryOp(opShiftRight, a, count, target) }

// And is the bitwise a & b.
func And(a, b, target Term) Term { return binaryOp(opAnd, a, b, target) }

// Or is the bitwise a | b.
func Or(a, b, target Term) Term { return binaryOp(opOr, a, b, target) }

// Xor is the bitwise a ^ b.
func Xor(a, b, target Term) Term { return binaryOp(opXor, a, b, target) }

func binaryOp(op byte, a, b, target Term) Term {
	if target == nil {
		target = Term{nullName}
	}
	return Concat(Term{op}, a, b, target)
}

// LAnd is true if both operands are.
func LAnd(a, b Term) Term { return Concat(Term{opLAnd}, a, b) }

// LOr is true if either operand is.
func LOr(a, b Term) Term { return Concat(Term{opLOr}, a, b) }

// LNot is true if its operand is zero.
func LNot(a Term) Term { return Concat(Term{opLNot}, a) }

// LEqual is a == b.
func LEqual(a, b Term) Term { return Concat(Term{opLEqual}, a, b) }

// LLess is a < b, unsigned.
func LLess(a, b Term) Term { return Concat(Term{opLLess}, a, b) }

// LGreater is a > b, unsigned.
func LGreater(a, b Term) Term { return Concat(Term{opLGreater}, a, b) }

// If runs body if the condition is not zero.
func If(condition Term, body ...Term) Term {
	return packaged([]byte{opIf}, condition, Concat(body...))
}

// Else follows an If directly.
func Else(body ...Term) Term { return packaged([]byte{opElse}, body...) }

// While repeats body as long as the condition is not zero.
func While(condition Term, body ...Term) Term {
	return packaged([]byte{opWhile}, condition, Concat(body...))
}

// Return ends a method with a value.
func Return(value Term) Term { return Concat(Term{opReturn}, value) }

// Notify tells the operating system of an event on a device.
func Notify(device string, event uint8) Term {
	return Concat(Term{opNotify}, Path(device), Int(uint64(event)))
}

// CreateDWordField names the 32 bits at a byte offset of a buffer.
func CreateDWordField(buffer Term, offset uint64, name string) Term {
	return Concat(Term{opDWordField}, buffer, Int(offset), Path(name))
}
