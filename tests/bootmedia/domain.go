package bootmedia

import (
	"cmp"
	"fmt"
	"html"
)

// Domain returns the domain file of a machine that boots a medium at path, with
// COM1 of type stdio. A hard disk is on bus, "ide" or "virtio"; what the guest
// writes goes to path. For media of the network path is not used and bus is the
// name of a tap. os and devices are further elements of these.
func (m Medium) Domain(path, bus, os, devices string) string {
	boot, target := "hd", map[string]string{"ide": "hda", "virtio": "vda"}[bus]
	device := "disk"
	switch m.Attach {
	case CDROM:
		boot, device, bus, target = "cdrom", "cdrom", "ide", "hdc"
	case Floppy:
		boot, device, bus, target = "fd", "floppy", "fdc", "fda"
	case Network:
		boot = "network"
	}
	medium := fmt.Sprintf(`<disk type='file' device='%s'><driver name='qemu' type='raw'/>
      <source file='%s'/><target dev='%s' bus='%s'/></disk>`, device, html.EscapeString(path), target, bus)
	if m.Attach == Network {
		medium = fmt.Sprintf(`<interface type='ethernet'><mac address='52:54:00:00:00:42'/><script path=''/>
      <target dev='%s' managed='no'/><model type='virtio'/><driver name='qemu'/></interface>`, bus)
	}
	return fmt.Sprintf(`<domain type='kvm'>
  <name>bootmedia</name>
  <memory unit='MiB'>%d</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <boot dev='%s'/>
    <bios useserial='no'/>
    %s
  </os>
  <features><acpi/><apic/></features>
  <on_reboot>destroy</on_reboot>
  <devices>
    <serial type='stdio'/>
    <memballoon model='none'/>
    %s
    %s
  </devices>
</domain>
`, cmp.Or(m.Memory, 64), boot, os, medium, devices)
}
