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
