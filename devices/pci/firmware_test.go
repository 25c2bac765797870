package pci

import "testing"

// TestFirmwareFinds checks what SeaBIOS looks at before it uses the machine, in
// the state that it finds after power-on and reset.
func TestFirmwareFinds(t *testing.T) {
	r := newRig(t, false)
	for _, when := range []string{"power-on", "reset"} {
		for _, tt := range []struct {
			what           string
			slot, function int
			reg            uint64
			want           uint32
		}{
			{"host bridge", 0, 0, RegVendor, 0x12378086},
			{"subsystem of a virtual machine", 0, 0, RegSubsystemVendor, 0x11001AF4},
			{"TOM, PAM0 to PAM2", 0, 0, 0x58, 0},
			{"PAM3 to PAM6", 0, 0, 0x5C, 0},
			{"PIRQs not routed", 1, 0, 0x60, 0x80808080},
			{"power management ports not placed", 1, 3, regPMBase, 1},
			{"power management ports disabled", 1, 3, regPMMisc, 0},
			{"SMM set up", 1, 3, regDEVACTB, 0x02000000},
		} {
			if v := r.read(tt.slot, tt.function, tt.reg, 4); v != tt.want {
				t.Errorf("%s: %s: %#x, want %#x", when, tt.what, v, tt.want)
			}
		}
		if v := r.in(ELCRPort, 2); v != 0 {
			t.Errorf("%s: ELCR %#x", when, v)
		}
		// What SeaBIOS does with it.
		r.write(0, 0, 0x58, 4, 0x33333000)
		r.write(0, 0, 0x5C, 4, 0x33333333)
		r.write(1, 0, 0x60, 4, 0x0B0B0A0A)
		r.out(ELCRPort, 1, 0)
		r.out(ELCRPort+1, 1, 0x0C)
		r.write(1, 3, regPMBase, 4, 0x601)
		r.write(1, 3, regPMMisc, 1, 1)
		if v, ok := r.router.Route(2); !ok || v != 11 {
			t.Errorf("%s: PIRQC on %d", when, v)
		}
		if v := r.in(0x604, 2); v == 0xFFFF {
			t.Errorf("%s: nobody answers at PMCNTRL", when)
		}
		r.bus.Reset()
	}
}
