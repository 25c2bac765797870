package bootmedia

import "strconv"

// QEMU returns the arguments of qemu-system-x86_64 for a pc that boots a medium
// at path, emulated, with COM1 on standard output and no screen. A hard disk is
// on bus, "ide" or "virtio"; for media of the network bus is the name of a tap.
// What the guest writes is thrown away. With serialBIOS SeaBIOS prints what it
// would show on the screen on COM1 too, and so does what uses INT 10h.
func (m Medium) QEMU(path, bus string, serialBIOS bool) []string {
	machine, memory := "pc", m.Memory
	if serialBIOS {
		machine = "pc,graphics=off"
	}
	if memory == 0 {
		memory = 64
	}
	args := []string{
		"-M", machine, "-accel", "tcg", "-cpu", "max", "-m", strconv.Itoa(memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=4",
	}
	if !serialBIOS {
		args = append(args, "-device", "VGA")
	}
	switch m.Attach {
	case Disk:
		args = append(args, "-drive", "format=raw,snapshot=on,if="+bus+",file="+path)
	case CDROM:
		args = append(args, "-drive", "format=raw,media=cdrom,if=ide,file="+path)
	case Floppy:
		args = append(args, "-drive", "format=raw,readonly=on,if=floppy,file="+path)
	case Network:
		args = append(args, "-netdev", "tap,id=n0,script=no,downscript=no,vhost=off,ifname="+bus, "-device", "virtio-net-pci,netdev=n0")
	}
	return args
}
