// Package tiny runs the tiny test kernel (tests/guest) on machines of package
// vmm, on this host's own KVM, and holds what it finds against what it finds
// under QEMU.
package tiny

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"strings"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/tests/guest"
	"github.com/govmm/govmm/vmm"
)

// Options describe the machine that Run makes.
type Options struct {
	PVH       bool // boot the ELF file, not the bzImage
	CPUs      int  // 1 if zero
	MemoryMiB int  // 128 if zero
	NoACPI    bool
	Cmdline   string // see package guest
	Initrd    string // a file's name; none if empty
	OnReboot  string // restart if empty
	OnCrash   string // destroy if empty
	Offset    string // the attributes of clock; offset='utc' if empty
	Clock     string // what is in the element clock
	Devices   string // further devices as XML; a memory balloon only if there is one here
}

// Domain is the machine as a domain.
func (o Options) Domain(image guest.Image) (*domcfg.Domain, error) {
	d, _, err := domcfg.Parse("tiny.xml", strings.NewReader(o.XML(image)))
	return d, err
}

// XML is the machine as a domain file. COM1 is of type stdio.
func (o Options) XML(image guest.Image) string {
	kernel := image.BzImage
	if o.PVH {
		kernel = image.ELF
	}
	var initrd, acpi string
	if o.Initrd != "" {
		initrd = "<initrd>" + html.EscapeString(o.Initrd) + "</initrd>"
	}
	if !o.NoACPI {
		acpi = "<features><acpi/></features>"
	}
	devices := o.Devices
	if !strings.Contains(devices, "<memballoon") {
		devices += "<memballoon model='none'/>"
	}
	return fmt.Sprintf(`<domain type='kvm'>
  <name>tiny</name>
  <memory unit='MiB'>%d</memory>
  <vcpu>%d</vcpu>
  <os><type>hvm</type><kernel>%s</kernel>%s<cmdline>%s</cmdline></os>
  %s<clock %s>%s</clock>
  <on_reboot>%s</on_reboot>
  <on_crash>%s</on_crash>
  <devices><serial type='stdio'/>%s</devices>
</domain>
`, or(o.MemoryMiB, 128), or(o.CPUs, 1), html.EscapeString(kernel), initrd, html.EscapeString(o.Cmdline),
		acpi, or(o.Offset, "offset='utc'"), o.Clock, or(o.OnReboot, "restart"), or(o.OnCrash, "destroy"), devices)
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Run runs a kernel until its machine has ended, and returns how, and what it
// printed.
func Run(ctx context.Context, image guest.Image, o Options, mo vmm.Options) (vmm.Exit, string, error) {
	d, err := o.Domain(image)
	if err != nil {
		return vmm.Exit{}, "", err
	}
	var out bytes.Buffer
	mo.Stdout = &out
	m, err := vmm.New(ctx, d, mo)
	if err != nil {
		return vmm.Exit{}, "", err
	}
	exit, err := m.Run(ctx)
	if closeErr := m.Close(); err == nil { // which also writes out the last output
		err = closeErr
	}
	return exit, out.String(), err
}
