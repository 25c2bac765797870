package firmware

import (
	"bytes"
	"encoding/binary"
)

// Keys of items that are not files. Numbers are little-endian.
const (
	keyUUID         = 0x02
	keyRAMSize      = 0x03 // 64 bits, bytes
	keyNoGraphic    = 0x04 // 16 bits
	keyNBCPUs       = 0x05 // 16 bits
	keyKernelAddr   = 0x07 // 32 bits, as all that follow with _ADDR and _SIZE
	keyKernelSize   = 0x08
	keyInitrdAddr   = 0x0A
	keyInitrdSize   = 0x0B
	keyBootMenu     = 0x0E // 16 bits
	keyMaxCPUs      = 0x0F // 16 bits
	keyKernelData   = 0x11
	keyInitrdData   = 0x12
	keyCmdlineAddr  = 0x13
	keyCmdlineSize  = 0x14
	keyCmdlineData  = 0x15
	keySetupAddr    = 0x16
	keySetupSize    = 0x17
	keySetupData    = 0x18
	keyIRQ0Override = 0x8002 // 32 bits
)

var le = binary.LittleEndian

func (b *builder) key(key uint16, content []byte) {
	b.items = append(b.items, Item{Key: key, Content: bytes.NewReader(content)})
}

func (b *builder) key16(key, v uint16)        { b.key(key, le.AppendUint16(nil, v)) }
func (b *builder) key32(key uint16, v uint32) { b.key(key, le.AppendUint32(nil, v)) }
func (b *builder) key64(key uint16, v uint64) { b.key(key, le.AppendUint64(nil, v)) }

func (b *builder) file(name string, content []byte) {
	b.items = append(b.items, Item{Name: name, Content: bytes.NewReader(content)})
}
