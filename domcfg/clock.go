package domcfg

// Features is the element features: what is listed is on.
type Features struct {
	Elem
	PAE  bool
	ACPI bool
	APIC bool
	HAP  bool
}

func (f *Features) code(c *coder) {
	c.flag("pae", &f.PAE)
	c.flag("acpi", &f.ACPI)
	c.flag("apic", &f.APIC)
	c.flag("hap", &f.HAP)
}

// ClockOffset is what the guest's clock starts from.
type ClockOffset string

// The values of ClockOffset.
const (
	ClockUTC       ClockOffset = "utc"
	ClockLocaltime ClockOffset = "localtime"
	ClockTimezone  ClockOffset = "timezone"
	ClockVariable  ClockOffset = "variable"
	ClockAbsolute  ClockOffset = "absolute" // newer than the document
)

// Clock is the element clock.
type Clock struct {
	Elem
	Offset     ClockOffset
	Timezone   string // for ClockTimezone
	Adjustment int64  // seconds from UTC, for ClockVariable
	Timers     []*Timer
}

func (k *Clock) code(c *coder) {
	enum(c.attr("offset"), &k.Offset, ClockUTC, ClockLocaltime, ClockTimezone, ClockVariable, ClockAbsolute)
	c.attr("timezone").str(&k.Timezone)
	if s := c.attr("adjustment"); s.value == "reset" {
		c.warnf(c.n.attrPos("adjustment"), c.n.path(), "ignored: newer than the format's document: adjustment=\"reset\": no adjustment is kept")
	} else {
		s.integer(&k.Adjustment)
	}
	children(c, "timer", &k.Timers)
}

// Timer returns the timer of a name, nil if the domain does not speak of it.
func (k *Clock) Timer(name string) *Timer {
	if k == nil {
		return nil
	}
	for _, t := range k.Timers {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// The values of Timer.TickPolicy.
const (
	TickDelay   = "delay"
	TickCatchup = "catchup"
	TickMerge   = "merge"
	TickDiscard = "discard"
)

// The values of Timer.Track.
const (
	TrackBoot  = "boot"
	TrackGuest = "guest"
	TrackWall  = "wall"
)

// The values of Timer.Mode.
const (
	TSCAuto     = "auto"     // the processor's TSC, scaled if a frequency is given
	TSCNative   = "native"   // the processor's TSC as it is
	TSCEmulate  = "emulate"  // each read of the TSC traps
	TSCParavirt = "paravirt" // as auto, and the guest is told of it by a clock of the hypervisor's
	TSCSMPSafe  = "smpsafe"  // as auto, and the TSCs of all CPUs agree
)

// Timer is an element timer within clock.
type Timer struct {
	Elem
	Name       string // platform, pit, rtc, hpet or tsc; newer: kvmclock, hypervclock, armvtimer
	Track      string // boot, guest or wall; rtc and platform only
	TickPolicy string // delay, catchup, merge or discard
	Frequency  uint64 // Hz; tsc only
	Mode       string // auto, native, emulate, paravirt or smpsafe; tsc only
	Present    YesNo
	Catchup    *Catchup
}

// Catchup is the element catchup within timer; 0 stands for what is not given.
type Catchup struct {
	Elem
	Threshold uint64 // how far behind the guest begins to catch up, in milliseconds
	Slew      uint64 // the rate meanwhile, in per cent of the normal one
	Limit     uint64 // how far behind it can be at most, in milliseconds
}

func (t *Timer) code(c *coder) {
	enum(c.attr("name").required(), &t.Name, "platform", "pit", "rtc", "hpet", "tsc",
		"kvmclock", "hypervclock", "armvtimer")
	enum(c.attr("track"), &t.Track, TrackBoot, TrackGuest, TrackWall)
	enum(c.attr("tickpolicy"), &t.TickPolicy, TickDelay, TickCatchup, TickMerge, TickDiscard)
	number(c.attr("frequency"), &t.Frequency, 1, 1<<63-1)
	enum(c.attr("mode"), &t.Mode, TSCAuto, TSCNative, TSCEmulate, TSCParavirt, TSCSMPSafe)
	c.attr("present").yesNo(&t.Present)
	child(c, "catchup", &t.Catchup)
}

func (u *Catchup) code(c *coder) {
	number(c.attr("threshold"), &u.Threshold, 1, 1<<63-1)
	number(c.attr("slew"), &u.Slew, 1, 1<<63-1)
	number(c.attr("limit"), &u.Limit, 1, 1<<63-1)
}
