package kvm

import (
	"fmt"
	"unsafe"
)

// MemFlags are the flags of a memory slot.
type MemFlags uint32

// Flags of a memory slot.
const (
	MemLogDirtyPages MemFlags = 1 << 0 // note the pages the guest writes
	MemReadOnly      MemFlags = 1 << 1 // guest writes end in ExitMMIO (CapReadOnlyMem)
)

// PageSize is the unit, in bytes, of memory slots and dirty logs.
const PageSize = 4096

// MemorySlot maps host memory into the guest-physical address space.
type MemorySlot struct {
	Slot  uint32
	Flags MemFlags
	GPA   uint64
	// Host must be page-aligned, a whole number of pages, and outside the Go
	// heap (mmap): KVM keeps its address until the slot is deleted, and Close of
	// the VM and all its vCPUs deletes it.
	Host []byte
}

// SetMemorySlot makes a memory slot, or moves it or changes its flags
// (KVM_SET_USER_MEMORY_REGION). The size of an existing slot cannot change.
func (vm *VM) SetMemorySlot(m MemorySlot) error {
	host := unsafe.Pointer(unsafe.SliceData(m.Host))
	size := uint64(len(m.Host))
	if size == 0 {
		return fmt.Errorf("memory slot %d: no host memory", m.Slot)
	}
	if uintptr(host)%PageSize != 0 || size%PageSize != 0 || m.GPA%PageSize != 0 {
		return fmt.Errorf("memory slot %d: guest %#x, host %p, size %#x: not in whole %d-byte pages",
			m.Slot, m.GPA, host, size, PageSize)
	}
	region := userMemoryRegion{
		Slot:          m.Slot,
		Flags:         uint32(m.Flags),
		GuestPhysAddr: m.GPA,
		MemorySize:    size,
		UserspaceAddr: uint64(uintptr(host)),
	}
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if _, err := ioctlPtr(vm.fd, reqSetUserMemoryRegion, unsafe.Pointer(&region)); err != nil {
		return fmt.Errorf("memory slot %d, guest %#x-%#x: %w", m.Slot, m.GPA, m.GPA+size-1, err)
	}
	vm.slots[m.Slot] = size
	return nil
}

// DeleteMemorySlot removes a memory slot. When it returns, no vCPU can reach
// the host memory through it.
func (vm *VM) DeleteMemorySlot(slot uint32) error {
	region := userMemoryRegion{Slot: slot}
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if _, err := ioctlPtr(vm.fd, reqSetUserMemoryRegion, unsafe.Pointer(&region)); err != nil {
		return fmt.Errorf("memory slot %d: %w", slot, err)
	}
	delete(vm.slots, slot)
	return nil
}

type dirtyLog struct {
	slot   uint32
	_      uint32
	bitmap unsafe.Pointer
}

type clearDirtyLog struct {
	slot      uint32
	numPages  uint32
	firstPage uint64
	bitmap    unsafe.Pointer
}

// DirtyLogWords is the length of the bitmap for a slot of size bytes: one bit
// a page, in whole 64-bit words.
func DirtyLogWords(size uint64) int {
	return int((size/PageSize + 63) / 64)
}

// DirtyLog fills bitmap with the pages of a slot (bit 0 of word 0 is its first
// page) that the guest wrote since the last call, and starts afresh
// (KVM_GET_DIRTY_LOG). Under CapManualDirtyLogProtect2 it does not start
// afresh: ClearDirtyLog does. The slot must have MemLogDirtyPages, and bitmap
// DirtyLogWords of its size.
func (vm *VM) DirtyLog(slot uint32, bitmap []uint64) error {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if err := vm.checkBitmap(slot, bitmap); err != nil {
		return err
	}
	d := dirtyLog{slot: slot, bitmap: unsafe.Pointer(&bitmap[0])}
	if _, err := ioctlPtr(vm.fd, reqGetDirtyLog, unsafe.Pointer(&d)); err != nil {
		return fmt.Errorf("memory slot %d: %w", slot, err)
	}
	return nil
}

// ClearDirtyLog makes KVM log anew the pages whose bits are set
// (KVM_CLEAR_DIRTY_LOG, after enabling CapManualDirtyLogProtect2). bitmap
// covers the whole slot, as filled by DirtyLog.
func (vm *VM) ClearDirtyLog(slot uint32, bitmap []uint64) error {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if err := vm.checkBitmap(slot, bitmap); err != nil {
		return err
	}
	// KVM wants chunks of whole words, except that the last may end with the
	// slot, and counts the pages of one call in 32 bits.
	const chunk = 1 << 30
	pages := vm.slots[slot] / PageSize
	for first := uint64(0); first < pages; first += chunk {
		c := clearDirtyLog{
			slot:      slot,
			numPages:  uint32(min(chunk, pages-first)),
			firstPage: first,
			bitmap:    unsafe.Pointer(&bitmap[first/64]),
		}
		if _, err := ioctlPtr(vm.fd, reqClearDirtyLog, unsafe.Pointer(&c)); err != nil {
			return fmt.Errorf("memory slot %d: %w", slot, err)
		}
	}
	return nil
}

// checkBitmap keeps the kernel, which trusts the length, from writing past the
// end of bitmap.
func (vm *VM) checkBitmap(slot uint32, bitmap []uint64) error {
	size, ok := vm.slots[slot]
	if !ok {
		return fmt.Errorf("memory slot %d: no such slot", slot)
	}
	if want := DirtyLogWords(size); len(bitmap) < want {
		return fmt.Errorf("memory slot %d: dirty bitmap of %d words, need %d", slot, len(bitmap), want)
	}
	return nil
}
