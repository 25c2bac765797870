package net

import (
	"fmt"
	"strings"
)

// offloadNames are the names of the bits, in their order.
var offloadNames = [...]string{"csum", "tso4", "tso6", "tso-ecn", "ufo", "uso4", "uso6"}

// String is, for example, "csum+tso4".
func (o Offload) String() string {
	if o == 0 {
		return "none"
	}
	var names []string
	for i, name := range offloadNames {
		if o&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if more := o &^ (1<<len(offloadNames) - 1); more != 0 {
		names = append(names, fmt.Sprintf("%#x", uint32(more)))
	}
	return strings.Join(names, "+")
}

// check says why a set makes no sense.
func (o Offload) check() error {
	switch {
	case o != 0 && o&Csum == 0:
		return fmt.Errorf("offloads %v need csum", o)
	case o&TSOECN != 0 && o&(TSO4|TSO6) == 0:
		return fmt.Errorf("offloads %v: tso-ecn needs tso4 or tso6", o)
	case (o&USO4 == 0) != (o&USO6 == 0):
		return fmt.Errorf("offloads %v: uso4 and uso6 need each other", o)
	}
	return nil
}

// checkOffloads says why o cannot be set where only some are possible.
func (e *endpoint) checkOffloads(o, possible Offload) error {
	if err := e.state(); err != nil {
		return err
	}
	if more := o &^ possible; more != 0 {
		return fmt.Errorf("net: %s: offloads %v are not possible", e.name, more)
	}
	if err := o.check(); err != nil {
		return fmt.Errorf("net: %s: %w", e.name, err)
	}
	return nil
}
