package queue

import "fmt"

// Rule is something that a driver must keep to. It is an error, so that a
// Violation can be tested for it by errors.Is.
type Rule uint8

// Rules for setting up a queue (sections 2.6, 2.7 and 2.8).
const (
	_ Rule = iota
	NotReady
	SizeZero
	SizeTooLarge
	SizeNotPowerOfTwo
	DescriptorAreaMisaligned
	DescriptorAreaWraps
	DescriptorAreaOutside
	DriverAreaMisaligned
	DriverAreaWraps
	DriverAreaOutside
	DeviceAreaMisaligned
	DeviceAreaWraps
	DeviceAreaOutside
	StateInvalid
)

// Rules for rings and descriptor chains (sections 2.7.5 to 2.7.13, 2.8.4 to
// 2.8.20).
const (
	AvailIndexJump Rule = iota + 32
	HeadOutOfRange
	HeadInUse
	NextOutOfRange
	DescriptorLoop
	RingOverrun
	ChainTooLong
	ChainTooLarge
	ZeroLength
	BufferWraps
	BufferOutside
	ReadableAfterWritable
)

// Rules for indirect descriptor tables (sections 2.7.5.3 and 2.8.7).
const (
	IndirectNotNegotiated Rule = iota + 64
	IndirectWithNext
	IndirectInList
	IndirectNested
	IndirectEmpty
	IndirectPartial
	IndirectWraps
	IndirectOutside
	IndirectNextOutOfRange
	IndirectLoop
)

var ruleTexts = [...]string{
	NotReady:                 "the driver has not enabled the queue",
	SizeZero:                 "the queue size is 0",
	SizeTooLarge:             "the queue size is greater than the device allows",
	SizeNotPowerOfTwo:        "the size of a split queue is not a power of 2",
	DescriptorAreaMisaligned: "the descriptor area is not aligned to 16 bytes",
	DescriptorAreaWraps:      "the descriptor area passes the end of the address space",
	DescriptorAreaOutside:    "the descriptor area is not in RAM",
	DriverAreaMisaligned:     "the driver area is not aligned (split: to 2 bytes, packed: to 4)",
	DriverAreaWraps:          "the driver area passes the end of the address space",
	DriverAreaOutside:        "the driver area is not in RAM",
	DeviceAreaMisaligned:     "the device area is not aligned to 4 bytes",
	DeviceAreaWraps:          "the device area passes the end of the address space",
	DeviceAreaOutside:        "the device area is not in RAM",
	StateInvalid:             "the saved ring positions do not fit the queue",

	AvailIndexJump:        "the available index is further ahead than the queue is long",
	HeadOutOfRange:        "the available ring names a descriptor beyond the table",
	HeadInUse:             "the available ring names a chain that the device still has",
	NextOutOfRange:        "the next descriptor is beyond the table",
	DescriptorLoop:        "the descriptor chain is a loop",
	RingOverrun:           "the list covers ring entries that the device still has",
	ChainTooLong:          "the chain has more descriptors than the device allows",
	ChainTooLarge:         "the chain has more than 2^32 bytes",
	ZeroLength:            "the buffer is empty",
	BufferWraps:           "the buffer passes the end of the address space",
	BufferOutside:         "the buffer is not in RAM",
	ReadableAfterWritable: "a device-readable buffer follows a device-writable one",

	IndirectNotNegotiated:  "the descriptor is indirect, which was not negotiated",
	IndirectWithNext:       "the descriptor is indirect and has a next one",
	IndirectInList:         "an indirect descriptor is part of a list",
	IndirectNested:         "an indirect table holds an indirect descriptor",
	IndirectEmpty:          "the indirect table is empty",
	IndirectPartial:        "the indirect table is not a whole number of descriptors",
	IndirectWraps:          "the indirect table passes the end of the address space",
	IndirectOutside:        "the indirect table is not in RAM",
	IndirectNextOutOfRange: "the next descriptor is beyond the indirect table",
	IndirectLoop:           "the chain in the indirect table is a loop",
}

// Error says how the rule was broken.
func (r Rule) Error() string {
	if int(r) < len(ruleTexts) && ruleTexts[r] != "" {
		return ruleTexts[r]
	}
	return fmt.Sprintf("rule %d", uint8(r))
}

// Violation is what a driver did wrong with a queue.
type Violation struct {
	// Queue is its number in the device.
	Queue int
	// Index is where: the descriptor's index in its table or ring. For
	// AvailIndexJump it is the available index. It is 0 for rules about the
	// set-up.
	Index uint16
	Rule  Rule
}

// Error says which rule was broken, and where.
func (v *Violation) Error() string {
	if v.Rule < AvailIndexJump {
		return fmt.Sprintf("virtqueue %d: %v", v.Queue, v.Rule)
	}
	return fmt.Sprintf("virtqueue %d, index %d: %v", v.Queue, v.Index, v.Rule)
}

// Unwrap returns the rule, for errors.Is.
func (v *Violation) Unwrap() error { return v.Rule }
