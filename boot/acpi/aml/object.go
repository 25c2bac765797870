package aml

import "fmt"

// Name defines a named object with a constant value.
func Name(name string, value Term) Term {
	return Concat(Term{opName}, Path(name), value)
}

// Scope opens an existing scope and adds terms to it.
func Scope(name string, body ...Term) Term {
	return packaged([]byte{opScope}, Path(name), Concat(body...))
}

// Device defines a device object.
func Device(name string, body ...Term) Term {
	return packaged([]byte{extPrefix, extDevice}, Path(name), Concat(body...))
}

// Serialization says whether a method may be entered by two threads at once.
type Serialization bool

// A method that creates named objects must be Serialized, or a second thread
// would find them there already.
const (
	NotSerialized Serialization = false
	Serialized    Serialization = true
)

// Method defines a control method of 0 to 7 arguments.
//
//	method flags: 2..0 argument count, 3 serialized, 7..4 sync level
func Method(name string, args int, s Serialization, body ...Term) Term {
	if args < 0 || args > 7 {
		panic(fmt.Sprintf("aml: method %s of %d arguments", name, args))
	}
	flags := byte(args)
	if s == Serialized {
		flags |= 1 << 3
	}
	return packaged([]byte{opMethod}, Path(name), Term{flags}, Concat(body...))
}

// RegionSpace is the address space of an operation region (section 19.6.100).
type RegionSpace uint8

// The address spaces a PC's DSDT reaches.
const (
	SystemMemory RegionSpace = 0
	SystemIO     RegionSpace = 1
	PCIConfig    RegionSpace = 2
)

// OperationRegion names length bytes from offset of an address space.
func OperationRegion(name string, space RegionSpace, offset, length uint64) Term {
	return Concat(Term{extPrefix, extRegion}, Path(name), Term{byte(space)}, Int(offset), Int(length))
}

// FieldAccess is the width in which the fields of a region are read and written.
type FieldAccess uint8

// Access widths (section 20.2.5.2, AccessType).
const (
	AnyAccess   FieldAccess = 0
	ByteAccess  FieldAccess = 1
	WordAccess  FieldAccess = 2
	DWordAccess FieldAccess = 3
)

// FieldUnit is one element of a field list. A unit without a name is a gap.
type FieldUnit struct {
	Name string
	Bits int
}

// Field defines fields, from bit 0 of a region upwards. A write to part of an
// access unit keeps its other bits (update rule "preserve").
func Field(region string, access FieldAccess, units ...FieldUnit) Term {
	list := Term{}
	for _, u := range units {
		if u.Bits <= 0 {
			panic(fmt.Sprintf("aml: field unit %q of %d bits", u.Name, u.Bits))
		}
		if u.Name == "" {
			list = append(list, 0)
		} else {
			list = appendNameSeg(list, u.Name)
		}
		list = appendFieldBits(list, u.Bits)
	}
	return packaged([]byte{extPrefix, extField}, Path(region), Term{byte(access)}, list)
}

// appendFieldBits appends a width in PkgLength encoding; unlike a package's
// length it does not count its own bytes.
func appendFieldBits(out Term, bits int) Term {
	if bits <= 0x3F {
		return append(out, byte(bits))
	}
	if bits > 0xFFF {
		panic(fmt.Sprintf("aml: field unit of %d bits", bits))
	}
	return append(out, byte(1<<6|bits&0xF), byte(bits>>4))
}
