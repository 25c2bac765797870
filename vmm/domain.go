package vmm

import (
	"crypto/rand"
	"fmt"

	"github.com/govmm/govmm/domcfg"
)

// prepare fills in what the domain file left out.
func prepare(d *domcfg.Domain) error {
	if err := d.SetDefaults(rand.Reader); err != nil {
		return fmt.Errorf("domain %s: %w", d.Name, err)
	}
	return d.AssignAddresses()
}

// ramSize is the guest's RAM in bytes: whole MiB, rounded up, as libvirt gives it.
func ramSize(d *domcfg.Domain) uint64 {
	const mib = 1 << 20
	return (d.Memory.Bytes() + mib - 1) &^ (mib - 1)
}
