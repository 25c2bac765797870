package domcfg

import (
	"net/netip"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // for hosts without a time zone database
)

// refusals is the table of what this version of govmm cannot honour. What becomes possible is
// taken out here, and out of the table in docs/domain-xml.md.
//
// The first part follows the document; newerRefusals has what is newer.
func refusals() []rule {
	const (
		xen   = "reserved to Xen; govmm runs the domain types kvm and qemu"
		later = "not in this version of govmm"
	)
	rules := []rule{
		{path: "@type", value: is("xen"), reason: xen},
		{path: "@type", value: is("lxc"), reason: "reserved to LXC; govmm runs the domain types kvm and qemu"},
		{path: "@type", value: not("kvm", "qemu"), reason: "another hypervisor's; govmm runs the domain types kvm and qemu"},

		{path: "os/type", value: is("linux", "xen", "xenpvh"), reason: xen},
		{path: "os/type", value: not("hvm", "linux", "xen", "xenpvh"), reason: "reserved to containers and UML; govmm runs hvm"},
		{path: "os/type@arch", value: not("x86_64", "i686"), reason: "govmm runs x86_64 and i686"},
		{path: "os/type@machine", value: func(m string) bool { return !isPC(m) }, reason: "the machine is " + later + "; pc and pc-* are"},
		{path: "os/loader@type", value: is("pflash"), reason: `newer than the format's document: flash for firmware is ` + later +
			`; type="rom" takes an image that has all in it`},
		{path: "os/loader@secure", value: is("yes"), reason: "newer than the format's document: firmware in system management mode is " + later},

		{path: "sysinfo@type", value: not("smbios"), reason: later},
		{path: "sysinfo/*/entry", when: unfitEntry,
			reason: "SMBIOS strings of over 4096 bytes, or of other than printable ASCII characters, are " + later},

		{path: "memoryBacking/hugepages/page", when: func(_ *Domain, n *node) bool { return n.index > 1 }, reason: "huge pages of several sizes are " + later},
		{path: "memoryBacking/hugepages/page", when: func(d *Domain, n *node) bool {
			size := d.MemoryBacking.HugePages.Pages[max(n.index, 1)-1].Bytes()
			return size != 2<<20 && size != 1<<30
		}, reason: "there are huge pages of 2 MiB and of 1 GiB"},
		{path: "vcpu@current", when: func(d *Domain, _ *node) bool { return d.VCPU.Current < d.VCPU.Count },
			reason: "CPUs that are offline at start are " + later},

		{path: "cpu/model", reason: "CPU models are " + later},
		{path: "cpu/vendor", reason: "demands on the host's CPU are " + later},
		{path: "cpu/feature", reason: "CPU features are " + later},
		{path: "cpu/topology", when: func(d *Domain, _ *node) bool { return d.CPU.Topology.Cores != 1 || d.CPU.Topology.Threads != 1 },
			reason: "sockets of more than one core with one thread are " + later},
		{path: "cpu@match", value: is("strict"), reason: "demands on the host's CPU are " + later},

		{path: "clock@offset", value: is(string(ClockAbsolute)), reason: "newer than the format's document: a clock that starts from a given time is " + later},
		{path: "clock@timezone", value: noZone, reason: "the time zone database has no such zone"},
		{path: "clock@adjustment", when: beyondDuration, reason: "an adjustment of more than 200 years is " + later},
		{path: "clock/timer", when: attrIs("name", "platform"), reason: "the platform timer is reserved to Xen"},
		{path: "clock/timer/catchup@threshold", value: outside(1, maxCatchup), reason: "the threshold is in milliseconds, up to a day"},
		{path: "clock/timer/catchup@slew", value: outside(101, 10_000), reason: "the slew is the rate in per cent of the normal one: from 101 to 10000"},
		{path: "clock/timer/catchup@limit", value: outside(1, maxCatchup), reason: "the limit is in milliseconds, up to a day"},
		{path: "clock/timer@tickpolicy", when: attrIs("name", "tsc"), reason: "the TSC has no ticks to lose"},
		{path: "clock/timer@frequency", value: outside(1_000_000, maxTSC), reason: "the frequency is in Hz: from 1000000 to 4294967295000"},
		{path: "clock/timer@present", value: is("no"), when: firmwareNeeds,
			reason: "firmware counts on the PIT, and on the CMOS RAM in the RTC; a kernel that is booted directly can do without"},
		{path: "clock/timer@mode", value: is(TSCEmulate), reason: "KVM has no way to trap a guest's reads of the TSC, and this mode is reserved to Xen in effect"},
		{path: "clock/timer@mode", value: is(TSCParavirt), when: noKVMClock, reason: "that is KVM's clock, and the timer kvmclock says that there is none"},
	}
	rules = append(rules, diskRefusals()...)
	rules = append(rules, interfaceRefusals()...)
	rules = append(rules, deviceRefusals()...)
	return append(rules, newerRefusals()...)
}

// diskRefusals is the part of the table about disks.
func diskRefusals() []rule {
	const later = "not in this version of govmm"
	return append([]rule{
		{path: "devices/disk", when: xenDisk, reason: "Xen's disk bus and drivers are reserved to Xen"},
		{path: "devices/disk@type", value: is("dir"), when: func(d *Domain, n *node) bool { k := diskOf(d, n); return k.Bus() == BusIDE && !k.Removable() },
			reason: "a folder can only be read, and a hard disk on IDE cannot be write-protected; one on virtio and a floppy can"},
		{path: "devices/disk@type", value: is("dir"), when: attrIs("device", "cdrom"), reason: "a folder becomes a disk with FAT, which is no CD-ROM"},
		{path: "devices/disk@type", value: not("file", "block", "dir", "network"), reason: "this kind of disk is " + later + "; file, block, dir and network are"},
		{path: "devices/disk/source@protocol", value: is("rbd"),
			reason: "Ceph's protocol is only to be had with its library, which is not in Go; `rbd device map` makes a block device of the image"},
		{path: "devices/disk/source@protocol", value: is("sheepdog"), reason: "Sheepdog has been given up by its makers and by QEMU, and is " + later},
		{path: "devices/disk/source@protocol", value: not("nbd", "rbd", "sheepdog"), reason: "newer than the format's document, and not honoured; nbd is"},
		{path: "devices/disk/source/host@transport", value: is("rdma"), reason: "this transport is " + later + "; tcp and unix are"},
		{path: "devices/disk@device", value: is("lun"), reason: "passing SCSI commands on is " + later},
		{path: "devices/disk/target@bus", value: not("ide", "virtio", "fdc"), when: otherDisk,
			reason: "disks on this bus are " + later + "; those on ide, virtio and fdc are"},
		{path: "devices/disk/target@dev", when: namedElsewhere,
			reason: "a disk that has this name and no bus is on one that is " + later + `; bus="ide" is honoured`},
		{path: "devices/disk/readonly", when: hardDiskOnIDE, reason: "a hard disk on IDE cannot be write-protected; one on virtio can"},
		{path: "devices/disk/source@startupPolicy", value: is("optional"), when: func(_ *Domain, n *node) bool { return !is("cdrom", "floppy")(n.parent.value("device")) },
			reason: "leaving out a disk whose image is not there is " + later + "; leaving a CD-ROM or floppy drive empty is"},
		{path: "devices/disk/driver@name", value: not("qemu"), reason: "this driver is " + later + "; qemu is"},
		{path: "devices/disk/driver@type", value: not("raw", "qcow2", "qed", "bochs", "qcow"), when: func(_ *Domain, n *node) bool { return n.parent.value("type") != "dir" },
			reason: "this image format is " + later + "; raw, qcow2, qed, bochs and qcow are"},
		{path: "devices/disk/driver@type", value: is("qcow"), when: writableImage,
			reason: "images of the first qcow are read, and not written: <readonly/> says so, or `govmm img convert -f qcow -O qcow2` makes one that is"},
		{path: "devices/disk/shareable", when: writableImage, reason: "an image in a format cannot be written by two machines; a raw one can, and with <readonly/> any"},
		{path: "devices/disk/driver@type", value: not("fat"), when: func(_ *Domain, n *node) bool { return n.parent.value("type") == "dir" },
			reason: "a folder becomes a disk with FAT: its type is fat"},
		{path: "devices/disk/driver@cache", value: is("directsync", "unsafe"), reason: "this cache mode is " + later + "; none, writethrough and writeback are"},
		{path: "devices/disk/blockio@logical_block_size", value: not("512"), when: func(d *Domain, n *node) bool { return diskOf(d, n.parent).Bus() != BusVirtio },
			reason: "only a disk on virtio can have other blocks than its kind has"},
	}, encryptionRefusals()...)
}

// encryptionRefusals is the part of the table about encrypted disks. The element stands in the disk,
// or, as in newer files, in its source.
func encryptionRefusals() (rules []rule) {
	for _, path := range []string{"devices/disk/encryption", "devices/disk/source/encryption"} {
		rules = append(rules,
			rule{path: path, when: func(d *Domain, n *node) bool { return imageInFormat(d, n) && !inQcow(n) },
				reason: "encryption in this image format is not in this version of govmm; raw and qcow images can be encrypted"},
			rule{path: path, when: notOneSecret, reason: "it needs one <secret> with the uuid of the passphrase"},
			rule{path: path + "@format", value: not("luks", "luks2", "luks-any"), when: func(_ *Domain, n *node) bool { return !inQcow(n) },
				reason: "this encryption is not in this version of govmm; luks, luks2 and luks-any are, and qcow in images of that format"},
			rule{path: path + "@format", value: not("qcow"), when: func(_ *Domain, n *node) bool { return inQcow(n) },
				reason: "an image of the first qcow has none but qcow"},
		)
	}
	return rules
}

// writableImage is about an element within a disk: whether that is an image in a format, which the
// guest can write.
func writableImage(_ *Domain, n *node) bool {
	return inFormat(n.parent) && n.parent.child("readonly") == nil && n.parent.value("device") != "cdrom"
}

// imageInFormat is about an element encryption in a disk or in its source.
func imageInFormat(_ *Domain, n *node) bool { return inFormat(encryptedDisk(n)) }

// inQcow is about an element encryption: whether the disk is an image of the first qcow.
func inQcow(n *node) bool { return driverType(encryptedDisk(n)) == "qcow" }

// encryptedDisk is the disk of an element encryption.
func encryptedDisk(n *node) *node {
	if n.parent.name == "source" {
		return n.parent.parent
	}
	return n.parent
}

// inFormat reports whether a disk is an image in a format, other than raw.
func inFormat(disk *node) bool {
	switch driverType(disk) {
	case "qcow2", "qed", "bochs", "qcow":
		return true
	}
	return false
}

// driverType is the type of a disk's driver, "" if it has none.
func driverType(disk *node) string {
	if driver := disk.child("driver"); driver != nil {
		return driver.value("type")
	}
	return ""
}

// notOneSecret is about an element encryption.
func notOneSecret(_ *Domain, n *node) bool {
	secrets := 0
	for _, c := range n.children {
		if c.name == "secret" && c.value("uuid") != "" {
			secrets++
		}
	}
	return secrets != 1
}

// nicModels are the NICs that there are.
var nicModels = []string{"virtio", "e1000", "rtl8139"}

// interfaceRefusals is the part of the table about network interfaces.
func interfaceRefusals() []rule {
	const later = "not in this version of govmm"
	return []rule{
		{path: "devices/interface@type", value: not("bridge", "user", "ethernet", "direct", "mcast", "server", "client"),
			reason: "this network is " + later + "; bridge, user, ethernet, direct, mcast, server and client are"},
		{path: "devices/interface/model@type", value: func(m string) bool { return !slices.Contains(nicModels, strings.ToLower(m)) },
			reason: "this NIC is " + later + "; " + strings.Join(nicModels, ", ") + " are"},
		{path: "devices/interface/driver@queues", value: not("1"), when: offTap, reason: "only a tap has several pairs of queues"},
		{path: "devices/interface/virtualport", when: attrIs("type", "802.1Qbg"),
			reason: "to associate a guest with the switch takes lldpad and its VDP, which is " + later + "; without it the frames go out as they are"},
		{path: "devices/interface/virtualport", reason: "virtual ports are " + later},
	}
}

// deviceRefusals is the part of the table about all other devices.
func deviceRefusals() []rule {
	const (
		xen   = "reserved to Xen"
		later = "not in this version of govmm"
	)
	return []rule{
		{path: "devices/filesystem", when: attrIs("type", "template"), reason: "templates are reserved to OpenVZ"},
		{path: "devices/filesystem", reason: "host folders for the guest are " + later},
		{path: "devices/controller", when: otherController, reason: "this controller is " + later},
		{path: "devices/hostdev", when: attrIs("mode", "capabilities"), reason: "capabilities are reserved to LXC"},
		{path: "devices/hostdev", reason: "host devices are " + later},
		{path: "devices/smartcard", reason: "smartcards are " + later},
		{path: "devices/input", when: attrIs("bus", "xen"), reason: xen},
		{path: "devices/input", when: notPS2, reason: "this input device is " + later},
		{path: "devices/graphics", when: attrIs("type", "rdp", "desktop"), reason: "reserved to VirtualBox"},
		{path: "devices/graphics", reason: "displays are " + later},
		{path: "devices/video", when: videoModel("xen"), reason: xen},
		{path: "devices/video", when: videoModel("vbox"), reason: "reserved to VirtualBox"},
		{path: "devices/video", when: func(d *Domain, n *node) bool { return !videoModel("none")(d, n) && !videoModel("vga")(d, n) },
			reason: "this video device is " + later + "; vga is"},
		{path: "devices/video/model@vram", value: overMaxVRAM, reason: "more than 256 MiB for a video device is " + later},
		{path: "devices/video/model/acceleration@accel3d", value: is("yes"), reason: "acceleration is " + later},
		{path: "devices/video/model/acceleration@accel2d", value: is("yes"), reason: "acceleration is " + later},
		{path: "devices/serial@type", value: noHostEnd, reason: noHostEndReason + later},
		{path: "devices/serial/target@type", value: not("isa-serial"), reason: "this serial port is " + later + "; isa-serial is"},
		{path: "devices/serial/target/model@name", value: not("isa-serial"), reason: "this serial port is " + later + "; isa-serial is"},
		{path: "devices/parallel@type", value: noHostEnd, reason: noHostEndReason + later},
		{path: "devices/console/target@type", value: is("xen"), reason: xen},
		{path: "devices/console/target@type", value: not("serial", "virtio", "xen"), reason: "this console is " + later + "; serial and virtio are"},
		{path: "devices/console@type", value: noHostEnd, when: ownConsole, reason: noHostEndReason + later},
		{path: "devices/channel/target@type", value: is("xen"), reason: xen},
		{path: "devices/channel/target@type", value: is(ChannelGuestForward), when: noUserNetwork,
			reason: `it is an address in the user network, and there is no <interface type="user">`},
		{path: "devices/channel/target@address", value: notForwarded,
			reason: "the user network is 10.0.2.0/24, of which 10.0.2.2, 10.0.2.3 and 10.0.2.15 are the host, the name server and the guest"},
		{path: "devices/channel@type", value: noHostEnd, reason: noHostEndReason + later},
		{path: "devices/sound", reason: "sound cards are " + later},
		{path: "devices/watchdog@model", value: not("i6300esb", "ib700"), reason: "this watchdog is " + later + "; i6300esb and ib700 are"},
		{path: "devices/memballoon", when: attrIs("model", "xen"), reason: xen},
		{path: "devices/memballoon@model", value: not("none", "virtio"), reason: "this memory balloon is " + later + "; virtio and none are"},
		{path: "devices/rng@model", value: not("virtio"), reason: "this entropy device is " + later + "; virtio is"},
		{path: "devices/rng/backend", value: not("", "/dev/urandom", "/dev/random"), reason: "this source is " + later + "; /dev/urandom and /dev/random are"},
		{path: "devices/rng/backend@model", value: is("egd"), reason: "daemons as a source are " + later + "; random and builtin are"},
		{path: "devices/panic", when: otherPanic, reason: "this panic device is " + later + `; model="isa" at port 505h is always there`},
		{path: "devices/*/address@type", value: is("spapr-vio", "virtio-s390", "ccw", "virtio-mmio"), reason: "a pc has no such bus"},
	}
}

// newerRefusals is the part of the table about what is newer than the document and changes the
// machine.
func newerRefusals() []rule {
	const newer = "newer than the format's document, and not honoured"
	paths := []string{
		// The domain.
		"qemu:commandline", "qemu:override", "qemu:capabilities", "qemu:deprecation",
		"bhyve:commandline", "xen:commandline",
		"iothreads", "iothreadids", "defaultiothread", "throttlegroups", "numatune", "genid",
		"maxMemory", "vcpus", "idmap", "launchSecurity", "keywrap", "numa",
		"blkiotune/*", "memtune/*", "memoryBacking/*", "memoryBacking/hugepages/page@nodeset", "cputune/*", "cputune@*",
		// Booting.
		"os/firmware", "os/nvram", "os/nvram@*", "os/dtb", "os/acpi",
		"os/init", "os/initarg", "os/initenv", "os/initdir", "os/inituser", "os/initgroup", "os/idmap",
		// CPU and features.
		"cpu/cache", "cpu/model@vendor_id", "cpu/numa", "cpu/maxphysaddr",
		"cpu/topology/*",
		"features/hyperv", "features/kvm", "features/xen", "features/pvspinlock", "features/privnet",
		"features/smm@*", "features/pmu", "features/vmcoreinfo", "features/gic", "features/htm",
		"features/capabilities", "features/viridian", "features/msrs", "features/tcg", "features/ibs",
		"features/cfpc", "features/sbbc", "features/nested-hv", "features/ccf-assist", "features/hpt",
		"features/async-teardown", "features/ras", "features/ps2", "features/aia", "features/apic@eoi",
		"clock@basis", "clock@start",
		// Devices.
		"devices/tpm", "devices/hub", "devices/redirdev",
		"devices/redirfilter", "devices/nvram", "devices/shmem", "devices/memory", "devices/iommu",
		"devices/vsock", "devices/crypto", "devices/pstore", "devices/lease",
		"devices/*/rom", "devices/*/acpi", "devices/*/teaming",
		"devices/disk/transient", "devices/disk/iotune", "devices/disk/auth", "devices/disk/geometry",
		"devices/disk/blockio@*", "devices/disk/throttlefilters", "devices/disk@rawio", "devices/disk@model",
		"devices/disk/source/auth", "devices/disk/source/slices",
		"devices/disk/source/ssl", "devices/disk/source/reservations", "devices/disk/source/cookies",
		"devices/disk/driver@copy_on_read", "devices/disk/driver@iothread", "devices/disk/driver/iothreads",
		"devices/disk/target@rotation_rate", "devices/disk/target@removable", "devices/disk/source@volume", "devices/disk/source@pool",
		"devices/interface/filterref", "devices/interface/bandwidth", "devices/interface/vlan",
		"devices/interface/ip", "devices/interface/route",
		"devices/interface/portForward@dev", "devices/interface/portForward/range@exclude",
		"devices/interface/port", "devices/interface/coalesce", "devices/interface/guest",
		"devices/interface/source@portgroup", "devices/interface/source/address",
		"devices/interface/source/local", "devices/interface/source@path", "devices/interface/virtualport/parameters@*",
		"devices/filesystem/driver", "devices/filesystem/binary", "devices/filesystem/space_hard_limit",
		"devices/filesystem/space_soft_limit", "devices/filesystem@multidevs", "devices/filesystem@model",
		"devices/filesystem@fmode", "devices/filesystem@dmode",
		"devices/controller/target", "devices/hostdev/source/adapter", "devices/hostdev@model",
		"devices/hostdev@display", "devices/hostdev@ramfb", "devices/input/source", "devices/input/driver",
		"devices/graphics/gl", "devices/video/driver", "devices/smartcard/protocol",
		"devices/*/source@tls", "devices/*/source/reconnect", "devices/*/source@channel",
		"devices/channel/target@state_socket",
	}
	rules := []rule{
		{path: "os@firmware", value: not("bios"), reason: newer + ": firmware other than SeaBIOS; <loader> names an image"},
		{path: "os/loader@format", value: not("raw"), reason: newer + ": firmware in an image format"},
		{path: "cpu@mode", value: is("host-model", "host-passthrough", "maximum"), reason: newer + ": the host's CPU for the guest"},
		{path: "vcpu@placement", value: is("auto"), reason: newer + ": placement by numad"},
		{path: "cpu/topology@dies", value: not("1"), reason: newer},
		{path: "cpu/topology@clusters", value: not("1"), reason: newer},
		{path: "features/vmport@state", value: not("off"), reason: newer + ": VMware's I/O port"},
		{path: "features/vmport", when: attrIs("state", ""), reason: newer + ": VMware's I/O port"},
		{path: "features/ioapic@driver", value: not("kvm"), reason: newer + ": an I/O APIC outside KVM"},
		{path: "features/smm", when: attrIs("state", "", "on"), reason: newer + ": system management mode"},
		{path: "clock/timer@present", value: is("yes"), when: attrIs("name", "hypervclock"), reason: newer + ": Hyper-V's clock"},
		{path: "clock/timer", when: attrIs("name", "armvtimer"), reason: newer + ": a timer of ARM"},
	}
	for _, p := range paths {
		rules = append(rules, rule{path: p, newer: true, reason: newer})
	}
	return rules
}

// ownConsole reports whether a console has a host end of its own: the first one shares that of the
// first serial port.
func ownConsole(d *Domain, n *node) bool {
	return len(d.Devices.Serials) == 0 || n.index > 1 || n.child("target") != nil && n.child("target").value("type") == "virtio"
}

// noUserNetwork reports whether a domain has no interface of type user.
func noUserNetwork(d *Domain, _ *node) bool {
	return !slices.ContainsFunc(d.Devices.Interfaces, func(i *Interface) bool { return i.Type == InterfaceUser })
}

// notForwarded reports whether an address in the user network is not free for a channel.
func notForwarded(address string) bool {
	a, err := netip.ParseAddr(address)
	if err != nil || !a.Is4() {
		return false // not valid at all
	}
	b := a.As4()
	switch b[3] {
	case 0, 2, 3, 15, 255:
		return true
	}
	return [3]byte(b[:3]) != [3]byte{10, 0, 2}
}

// unfitEntry reports whether an entry of sysinfo is used and has a text that SMBIOS cannot hold.
func unfitEntry(d *Domain, n *node) bool {
	return d.OS != nil && d.OS.SMBIOSMode == SMBIOSSysinfo && !isEntryText(n.text)
}

// noZone reports whether a time zone is unknown. One that is not given stands for UTC in Go.
func noZone(name string) bool {
	_, err := time.LoadLocation(name)
	return err != nil || name == "" || name == "Local"
}

func beyondDuration(d *Domain, _ *node) bool {
	const limit = 200 * 365 * 24 * 60 * 60 // seconds
	return d.Clock.Adjustment > limit || d.Clock.Adjustment < -limit
}

// maxCatchup is the most that a guest's time can be allowed to be behind: a day in milliseconds.
const maxCatchup = 24 * 60 * 60 * 1000

// outside makes the condition that a number is not in a range.
func outside(least, most uint64) func(string) bool {
	return func(v string) bool {
		n, err := parseUint(v, 10)
		return err == nil && (n < least || n > most)
	}
}

// maxTSC is the highest rate that KVM has a number for, in Hz.
const maxTSC = (1<<32 - 1) * 1000

// firmwareNeeds reports whether a timer is one that firmware does not do without, where there is firmware.
func firmwareNeeds(d *Domain, n *node) bool {
	name := n.value("name")
	return (name == "pit" || name == "rtc") && !d.BootsDirectly()
}

func noKVMClock(d *Domain, _ *node) bool {
	t := d.Clock.Timer("kvmclock")
	return t != nil && t.Present == No
}

func xenDisk(d *Domain, n *node) bool {
	if diskOf(d, n).Bus() == BusXen {
		return true
	}
	driver := n.child("driver")
	return driver != nil && is("tap", "tap2", "phy", "file")(driver.value("name"))
}

// onOwnBus reports whether a disk is on a bus that disks can be on.
func (d *Disk) onOwnBus() bool {
	b := d.Bus()
	return b == BusIDE || b == BusVirtio || b == BusFDC
}

// otherDisk reports whether a disk's target is not that of a disk that passes SCSI commands on, of
// which another rule says enough.
func otherDisk(_ *Domain, n *node) bool { return n.parent.value("device") != string(DeviceLUN) }

// namedElsewhere reports whether a disk is on a bus that it cannot be on because of its name alone.
func namedElsewhere(d *Domain, n *node) bool {
	return otherDisk(d, n) && n.value("bus") == "" && !diskOf(d, n.parent).onOwnBus()
}

// hardDiskOnIDE is about an element within disk.
func hardDiskOnIDE(d *Domain, n *node) bool {
	k := diskOf(d, n.parent)
	return k.Bus() == BusIDE && !k.Removable()
}

// overMaxVRAM reports whether an amount in KiB is more than a video device can have.
func overMaxVRAM(text string) bool {
	n, err := parseUint(text, 10)
	return err == nil && n > 256<<10
}

// interfaceOf returns the interface of an element interface.
func interfaceOf(d *Domain, n *node) *Interface { return d.Devices.Interfaces[max(n.index, 1)-1] }

// otherController reports whether a controller is none of those that this version has, and none
// that changes nothing as long as no device needs it, as a plain USB one.
func otherController(_ *Domain, n *node) bool {
	model := n.value("model")
	switch ControllerType(n.value("type")) {
	case ControllerIDE:
		return model != "" && model != "piix3"
	case ControllerFDC:
		return model != ""
	case ControllerPCI:
		return model != "pci-root"
	case ControllerVirtioSerial:
		return model != "" && model != "virtio"
	case ControllerUSB:
		return model != "" && model != "none" && model != "piix3-uhci"
	}
	return true
}

// notPS2 reports whether an input device is other than the board's PS/2 mouse and keyboard.
func notPS2(_ *Domain, n *node) bool {
	bus := n.value("bus")
	return !(bus == "ps2" || bus == "" && n.value("type") != "tablet")
}

func videoModel(name string) func(*Domain, *node) bool {
	return func(_ *Domain, n *node) bool {
		model := n.child("model")
		return model != nil && model.value("type") == name
	}
}
