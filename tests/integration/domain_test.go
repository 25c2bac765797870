package integration

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// domain is what tests vary of a domain file. Zero values are those of the
// comments.
type domain struct {
	memory     string // as <memory>; 256 MiB
	vcpus      int    // 1
	kernel     string // the cloud kernel
	initrd     string // cloudTest
	cmdline    string // words behind "console=ttyS0"
	noACPI     bool
	clock      string // what is in <clock offset='utc'>; nothing
	onPoweroff string // destroy
	onReboot   string // restart
	onCrash    string // destroy
	devices    string // a serial port of type stdio
	balloon    string // none
	extra      string // more elements of the domain
}

// xml is the domain file.
func (d domain) xml(t *testing.T) string {
	features := "<features><acpi/><apic/></features>"
	if d.noACPI {
		features = ""
	}
	kernel := d.kernel
	if kernel == "" {
		kernel = cloudKernel(t).Image
	}
	return fmt.Sprintf(`<domain type='kvm'>
  <name>integration</name>
  %s
  <vcpu>%d</vcpu>
  %s
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>%s</kernel>
    <initrd>%s</initrd>
    <cmdline>console=ttyS0 %s</cmdline>
  </os>
  %s
  <on_poweroff>%s</on_poweroff>
  <clock offset='utc'>%s</clock>
  <on_reboot>%s</on_reboot>
  <on_crash>%s</on_crash>
  <devices>
    %s
    %s
  </devices>
</domain>
`,
		cmp.Or(d.memory, "<memory unit='MiB'>256</memory>"),
		cmp.Or(d.vcpus, 1),
		d.extra,
		kernel,
		asset(cmp.Or(d.initrd, cloudTest)),
		d.cmdline,
		features,
		cmp.Or(d.onPoweroff, "destroy"),
		d.clock,
		cmp.Or(d.onReboot, "restart"),
		cmp.Or(d.onCrash, "destroy"),
		cmp.Or(d.devices, "<serial type='stdio'/>"),
		cmp.Or(d.balloon, "<memballoon model='none'/>"))
}

// file writes the domain file and returns its name.
func (d domain) file(t *testing.T) string {
	t.Helper()
	return domainFile(t, d.xml(t))
}

// domainFile writes a domain file and returns its name.
func domainFile(t *testing.T, xml string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "vm.xml")
	if err := os.WriteFile(name, []byte(xml), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}
