package domcfg

import "slices"

// harmless is the table of what is part of the document and valid, but has no effect here. Each is
// told in a warning.
func harmless() []rule {
	const direct = "ignored: the domain is started in its kernel, without firmware"
	return []rule{
		{path: "@type", value: is("qemu"), reason: `runs on KVM, as type="kvm" does`},
		{path: "@id", reason: "ignored: only a running domain has an id"},
		{path: "os/loader@readonly", value: is("no"), reason: "ignored: the guest cannot change its firmware"},
		{path: "os/boot", when: bootsDirectly, reason: direct},
		{path: "os/boot", when: repeatedClass, reason: "ignored: this class of devices stands before"},
		{path: "os/bootmenu", when: bootsDirectly, reason: direct},
		{path: "os/bootmenu@timeout", when: func(_ *Domain, n *node) bool { return n.value("enable") != "yes" }, reason: "ignored: there is no menu"},
		{path: "os/bios", when: bootsDirectly, reason: direct},
		{path: "os/bios@useserial", value: is("yes"), when: func(d *Domain, _ *node) bool { return !d.Devices.hasSerial() },
			reason: "ignored: there is no serial port"},
		{path: "bootloader_args", when: func(d *Domain, _ *node) bool { return d.Bootloader == "" }, reason: "ignored: they are for a <bootloader>, and there is none"},
		{path: "sysinfo", when: func(d *Domain, _ *node) bool { return d.OS.SMBIOSMode != SMBIOSSysinfo },
			reason: `ignored: <smbios mode="sysinfo"/> in <os> would make use of it`},
		{path: "sysinfo/bios/entry@name", value: not("vendor", "version", "date", "release"), reason: "ignored: no such field in the SMBIOS block"},
		{path: "sysinfo/system/entry@name", value: not("manufacturer", "product", "version", "serial", "uuid", "sku", "family"),
			reason: "ignored: no such field in the SMBIOS block"},
		{path: "sysinfo/baseBoard/entry@name", value: not("manufacturer", "product", "version", "serial", "asset", "location"),
			reason: "ignored: no such field in the SMBIOS block"},
		{path: "sysinfo/chassis/entry@name", value: not("manufacturer", "version", "serial", "asset", "sku"),
			reason: "ignored: no such field in the SMBIOS block"},
		{path: "currentMemory", when: func(d *Domain, _ *node) bool { return d.CurrentMemory > d.Memory },
			reason: "more than <memory> is lowered to that"},
		{path: "currentMemory", when: withoutBalloon, reason: "without effect: there is no memory balloon to take the rest"},
		{path: "cputune/vcpupin@vcpu", when: beyondVCPUs, reason: "ignored: the domain has no such CPU"},
		{path: "devices/emulator", reason: "ignored: govmm is the machine and runs no other program"},
		{path: "devices/disk/boot", when: bootsDirectly, reason: direct},
		{path: "devices/interface/boot", when: bootsDirectly, reason: direct},
		{path: "devices/interface/driver@rx_queue_size", reason: "ignored: the queues have a size of their own"},
		{path: "devices/interface/driver@tx_queue_size", reason: "ignored: the queues have a size of their own"},
		{path: "devices/disk/driver@discard", value: is("unmap"), when: offVirtio, reason: "ignored: only a disk on virtio passes on what the guest discards"},
		{path: "devices/disk/driver@packed", value: is("on"), when: offVirtio, reason: "ignored: only a disk on virtio has virtqueues"},
		{path: "devices/disk/driver@detect_zeroes", value: not("off"), reason: "ignored: zeroes are written as they come"},
		{path: "devices/disk/wwn", when: func(d *Domain, n *node) bool { return !hardDiskOnIDE(d, n) }, reason: "ignored: only a hard disk on IDE shows it"},
		{path: "devices/disk/serial", when: longSerial, reason: "the guest sees only the first 20 characters"},
		{path: "devices/interface/target@dev", value: reservedIfName, when: func(_ *Domain, n *node) bool { return n.value("managed") != "no" },
			reason: "ignored: names with vnet and vif are given out, not taken"},
		{path: "devices/interface/target@managed", when: func(_ *Domain, n *node) bool { return n.parent.value("type") != "ethernet" },
			reason: `ignored: it is only for type="ethernet"`},
		{path: "devices/interface/script", when: parentAttrIs("type", "network", "bridge", "user", "direct", "mcast", "server", "client"),
			reason: `ignored: a script is only run for type="ethernet"`},
		{path: "devices/interface@trustGuestRxFilters", when: func(_ *Domain, n *node) bool { return n.value("type") != "direct" },
			reason: `ignored: it is only for type="direct"`},
		{path: "devices/interface/driver@name", value: is("vhost"), when: offTap, reason: "ignored: only a tap is served by vhost"},
		{path: "devices/interface/driver@*", when: emulatedNIC, reason: "ignored: it is for model virtio"},
		{path: "devices/interface/driver/*", when: emulatedNIC, reason: "ignored: it is for model virtio"},
		{path: "devices/controller", when: idleUSB, reason: "ignored: there is no USB controller, and nothing that needs one"},
		{path: "devices/console@tty", reason: "ignored: it is told to the user, not taken"},
		{path: "devices/serial/source@path", when: parentAttrIs("type", "pty"), reason: "ignored: the pty's name is given by the host"},
		{path: "devices/console/source@path", when: parentAttrIs("type", "pty"), reason: "ignored: the pty's name is given by the host"},
		{path: "devices/channel/source@path", when: parentAttrIs("type", "pty"), reason: "ignored: the pty's name is given by the host"},
		{path: "devices/parallel/source@path", when: parentAttrIs("type", "pty"), reason: "ignored: the pty's name is given by the host"},
	}
}

// emulatedNIC reports whether an element within interface is of a network card that is not virtio.
func emulatedNIC(d *Domain, n *node) bool {
	for n.name != "interface" {
		n = n.parent
	}
	return !interfaceOf(d, n).IsVirtio()
}

// offTap reports whether an element within interface is of one whose host end is no tap.
func offTap(_ *Domain, n *node) bool {
	return slices.Contains([]string{"user", "mcast", "server", "client"}, n.parent.value("type"))
}

func bootsDirectly(d *Domain, _ *node) bool { return d.BootsDirectly() }

// hasSerial reports whether there is a serial port, also one that the first console brings with it.
func (v *Devices) hasSerial() bool {
	return len(v.Serials) > 0 || len(v.Consoles) > 0 && v.Consoles[0].IsSerial()
}

// repeatedClass reports whether an element boot in os names what one before it does.
func repeatedClass(d *Domain, n *node) bool {
	first := slices.IndexFunc(d.OS.Boot, func(b *BootDev) bool { return b.Dev == n.value("dev") })
	return first < max(n.index, 1)-1
}

// offVirtio is about the element driver of a disk.
func offVirtio(d *Domain, n *node) bool { return diskOf(d, n.parent).Bus() != BusVirtio }

// withoutBalloon reports whether the guest is to be left with less memory and nothing takes it.
func withoutBalloon(d *Domain, _ *node) bool {
	b := d.Devices.MemBalloons
	return d.CurrentMemory < d.Memory && len(b) > 0 && b[0].Model == "none"
}

// longSerial reports whether a serial number is longer than what a disk can tell the guest: 20
// characters on virtio (VIRTIO_BLK_T_GET_ID) and on IDE (ATA IDENTIFY DEVICE, words 10 to 19).
func longSerial(d *Domain, n *node) bool {
	k := diskOf(d, n.parent)
	return (k.Bus() == BusVirtio || k.Bus() == BusIDE) && len(k.Serial) > 20
}

// diskOf returns the disk of an element disk.
func diskOf(d *Domain, n *node) *Disk { return d.Devices.Disks[max(n.index, 1)-1] }

// idleUSB reports whether a controller is a USB one that is accepted because nothing is on it.
func idleUSB(d *Domain, n *node) bool {
	return n.value("type") == string(ControllerUSB) && n.value("model") != "none" && !otherController(d, n)
}

func beyondVCPUs(d *Domain, n *node) bool {
	id, err := parseUint(n.value("vcpu"), 10)
	return err == nil && id >= uint64(max(d.VCPU.Count, 1))
}

// newerHarmless is the table of what is newer than the document and has no effect on the machine.
// An empty reason says just that.
func newerHarmless() []rule {
	rules := []rule{
		{path: "resource", reason: "cgroups are made where govmm is started"},
		{path: "seclabel", reason: "security labels are the business of what starts govmm"},
		{path: "pm", reason: "the guest is offered no sleep states"},
		{path: "on_lockfailure", reason: "there is no lock manager"},
		{path: "sysinfo/*", reason: "no SMBIOS block is made of it"},
		{path: "devices/*/seclabel", reason: "security labels are the business of what starts govmm"},
		{path: "devices/*/source/seclabel", reason: "security labels are the business of what starts govmm"},
		{path: "devices/audio", reason: "it is the host end of sound cards, and there is none"},
		{path: "devices/disk/backingStore", reason: "the image itself names what is behind it"},
		{path: "devices/disk/vendor", reason: "only disks on SCSI show it"},
		{path: "devices/disk/product", reason: "only disks on SCSI show it"},
	}
	for _, p := range []string{
		"metadata", "perf", "memory@dumpCore", "vcpu@placement", "os@firmware",
		"os/loader@*", "os/type@*", "cpu@check", "cpu@migratable", "cpu/model@fallback",
		"cpu/topology@dies", "cpu/topology@clusters", "cpu@deprecated_features",
		"features/hap@state", "features/vmport@state", "features/vmport", "features/ioapic",
		"features/ioapic@driver", "features/smm", "features/smm@state",
		"clock/timer/*",
		"devices/disk@snapshot", "devices/disk@sgio", "devices/disk/mirror", "devices/disk/driver@queue_size",
		"devices/disk/driver@ioeventfd", "devices/disk/driver@event_idx",
		"devices/disk/driver@iommu", "devices/disk/driver@ats", "devices/disk/driver@rerror_policy",
		"devices/disk/driver@max_bufsize", "devices/disk/driver@discard_no_unref", "devices/disk/driver/*",
		"devices/disk/source@index",
		"devices/disk/source/privateData", "devices/disk/source/snapshot", "devices/disk/source/config",
		"devices/disk/source/address", "devices/disk/encryption@engine", "devices/disk/encryption/secret@usage",
		"devices/disk/encryption/cipher", "devices/disk/encryption/ivgen", "devices/disk/alias",
		"devices/disk/source/encryption@engine", "devices/disk/source/encryption/secret@usage",
		"devices/disk/source/encryption/cipher", "devices/disk/source/encryption/ivgen",
		"devices/interface/driver@*", "devices/interface/driver/*", "devices/interface/tune",
		"devices/interface/backend",
		"devices/interface/source@portid", "devices/interface/source@bridge", "devices/interface/source@type",
		"devices/interface@managed",
		"devices/interface/mac@type", "devices/interface/mac@check", "devices/interface/metadata",
		"devices/controller/master", "devices/controller/driver", "devices/controller/pcihole64",
		"devices/controller/model", "devices/controller@ports", "devices/controller@maxGrantFrames",
		"devices/hostdev/driver", "devices/hostdev/source@*", "devices/hostdev@sgio", "devices/hostdev@rawio",
		"devices/hostdev/readonly", "devices/hostdev/shareable", "devices/hostdev/source/address@*",
		"devices/filesystem/source@*", "devices/filesystem/target@*",
		"devices/graphics/streaming", "devices/graphics/clipboard", "devices/graphics/filetransfer",
		"devices/graphics/mouse", "devices/graphics/agent_mouse", "devices/graphics/audio",
		"devices/graphics/channel@*", "devices/graphics/listen@*", "devices/graphics@websocket",
		"devices/graphics@websocketGenerated", "devices/graphics@sharePolicy", "devices/graphics@connected",
		"devices/graphics@powerControl", "devices/graphics@defaultMode", "devices/graphics@socket",
		"devices/graphics@wait", "devices/graphics@p2p", "devices/graphics@address",
		"devices/video/model@ram", "devices/video/model@vram64", "devices/video/model@vgamem",
		"devices/video/model@primary", "devices/video/model@blob", "devices/video/model@edid",
		"devices/video/model/resolution", "devices/video/model/acceleration@rendernode",
		"devices/sound/codec", "devices/sound/audio", "devices/sound@multichannel", "devices/sound@streams",
		"devices/memballoon/driver", "devices/rng/driver",
		"devices/channel/target@state", "devices/channel/source@channel",
		"devices/*/address@*", "devices/*/address/*", "devices/*/alias@*",
	} {
		rules = append(rules, rule{path: p})
	}
	return rules
}
