package domcfg

// harmless is the table of what is part of the document and valid, but has no effect here. Each is
// told in a warning.
func harmless() []rule {
	return []rule{
		{path: "@type", value: is("qemu"), reason: `runs on KVM, as type="kvm" does`},
		{path: "@id", reason: "ignored: only a running domain has an id"},
		{path: "os/boot", when: hasKernel, reason: "ignored: the domain boots its <kernel> directly"},
		{path: "os/bootmenu", when: hasKernel, reason: "ignored: the domain boots its <kernel> directly"},
		{path: "sysinfo", when: func(d *Domain, _ *node) bool { return d.OS.SMBIOSMode != SMBIOSSysinfo },
			reason: `ignored: <smbios mode="sysinfo"/> in <os> would make use of it`},
		{path: "sysinfo/bios/entry@name", value: not("vendor", "version", "date", "release"), reason: "ignored: no such field in the SMBIOS block"},
		{path: "sysinfo/system/entry@name", value: not("manufacturer", "product", "version", "serial", "uuid", "sku", "family"),
			reason: "ignored: no such field in the SMBIOS block"},
		{path: "currentMemory", when: func(d *Domain, _ *node) bool { return d.CurrentMemory > d.Memory },
			reason: "more than <memory> is lowered to that"},
		{path: "currentMemory", when: withoutBalloon, reason: "without effect: there is no memory balloon to take the rest"},
		{path: "cputune/vcpupin@vcpu", when: beyondVCPUs, reason: "ignored: the domain has no such CPU"},
		{path: "devices/emulator", reason: "ignored: govmm is the machine and runs no other program"},
		{path: "devices/disk/boot", when: hasKernel, reason: "ignored: the domain boots its <kernel> directly"},
		{path: "devices/interface/boot", when: hasKernel, reason: "ignored: the domain boots its <kernel> directly"},
		{path: "devices/interface/driver@rx_queue_size", reason: "ignored: the queues have a size of their own"},
		{path: "devices/interface/driver@tx_queue_size", reason: "ignored: the queues have a size of their own"},
		{path: "devices/disk/driver@detect_zeroes", value: not("off"), reason: "ignored: zeroes are written as they come"},
		{path: "devices/disk/serial", when: longSerial, reason: "the guest sees only the first 20 characters"},
		{path: "devices/interface/target@dev", value: reservedIfName, when: func(_ *Domain, n *node) bool { return n.value("managed") != "no" },
			reason: "ignored: names with vnet and vif are given out, not taken"},
		{path: "devices/interface/target@managed", when: func(_ *Domain, n *node) bool { return n.parent.value("type") != "ethernet" },
			reason: `ignored: it is only for type="ethernet"`},
		{path: "devices/interface/script", when: parentAttrIs("type", "network", "bridge", "user", "direct", "mcast", "server", "client"),
			reason: `ignored: a script is only run for type="ethernet"`},
		{path: "devices/controller", when: boardController,
			reason: "ignored: the board has this controller when a device needs it, and none does"},
		{path: "devices/input", when: func(d *Domain, n *node) bool { return !notPS2(d, n) },
			reason: "ignored: there is no PS/2 mouse or keyboard, and without a display nothing would move it"},
		{path: "devices/console@tty", reason: "ignored: it is told to the user, not taken"},
		{path: "devices/serial/source@path", when: parentAttrIs("type", "pty"), reason: "ignored: the pty's name is given by the host"},
		{path: "devices/console/source@path", when: parentAttrIs("type", "pty"), reason: "ignored: the pty's name is given by the host"},
		{path: "devices/channel/source@path", when: parentAttrIs("type", "pty"), reason: "ignored: the pty's name is given by the host"},
		{path: "devices/parallel/source@path", when: parentAttrIs("type", "pty"), reason: "ignored: the pty's name is given by the host"},
	}
}

func hasKernel(d *Domain, _ *node) bool { return d.OS.Kernel != "" }

// withoutBalloon reports whether the guest is to be left with less memory and nothing takes it.
func withoutBalloon(d *Domain, _ *node) bool {
	b := d.Devices.MemBalloons
	return d.CurrentMemory < d.Memory && len(b) > 0 && b[0].Model == "none"
}

// longSerial reports whether a serial number is longer than what a virtio disk can tell the guest
// (VIRTIO_BLK_T_GET_ID).
func longSerial(d *Domain, n *node) bool {
	k := diskOf(d, n.parent)
	return k.Bus() == BusVirtio && len(k.Serial) > 20
}

// diskOf returns the disk of an element disk.
func diskOf(d *Domain, n *node) *Disk { return d.Devices.Disks[max(n.index, 1)-1] }

func boardController(d *Domain, n *node) bool {
	return !unusedController(d, n) && n.value("model") != "none" && n.value("type") != string(ControllerVirtioSerial)
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
		{path: "sysinfo/*", reason: "the block is not in the document"},
		{path: "devices/*/seclabel", reason: "security labels are the business of what starts govmm"},
		{path: "devices/*/source/seclabel", reason: "security labels are the business of what starts govmm"},
		{path: "devices/audio", reason: "it is the host end of sound cards, and there is none"},
		{path: "devices/disk/backingStore", reason: "the image itself names what is behind it"},
		{path: "devices/disk/wwn", reason: "only disks on SCSI, SATA and IDE show it"},
		{path: "devices/disk/vendor", reason: "only disks on SCSI show it"},
		{path: "devices/disk/product", reason: "only disks on SCSI show it"},
	}
	for _, p := range []string{
		"metadata", "perf", "memory@dumpCore", "vcpu@placement", "os/bootmenu@timeout",
		"os/loader@*", "os/type@*", "cpu@check", "cpu@migratable", "cpu/model@fallback",
		"cpu/topology@dies", "cpu/topology@clusters", "cpu@deprecated_features",
		"features/hap@state", "features/vmport@state", "features/vmport", "features/ioapic",
		"features/ioapic@driver", "features/smm", "features/smm@state",
		"clock/timer/*",
		"devices/disk@snapshot", "devices/disk@sgio", "devices/disk/mirror", "devices/disk/driver@queue_size",
		"devices/disk/driver@ioeventfd", "devices/disk/driver@event_idx",
		"devices/disk/driver@iommu", "devices/disk/driver@ats", "devices/disk/driver@rerror_policy",
		"devices/disk/driver@max_bufsize", "devices/disk/driver@discard_no_unref", "devices/disk/driver/*",
		"devices/disk/target@tray", "devices/disk/source@index", "devices/disk/source@startupPolicy",
		"devices/disk/source/privateData", "devices/disk/source/snapshot", "devices/disk/source/config",
		"devices/disk/source/address", "devices/disk/encryption@engine", "devices/disk/encryption/secret@usage",
		"devices/disk/encryption/cipher", "devices/disk/encryption/ivgen", "devices/disk/alias",
		"devices/interface/driver@*", "devices/interface/driver/*", "devices/interface/tune",
		"devices/interface/backend",
		"devices/interface/source@portid", "devices/interface/source@bridge", "devices/interface/source@type",
		"devices/interface@trustGuestRxFilters", "devices/interface@managed",
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
