package domcfg

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// bootable is a domain that this version honours in full, with a place for more in its line 5.
func bootable(xml string) string {
	return "<domain type='kvm'>\n<name>a</name>\n<memory>65536</memory>\n<os><type>hvm</type><kernel>/k</kernel></os>\n" + xml + "\n</domain>\n"
}

// firmware is a domain that boots through firmware, with elements of os and devices in lines 4 and 5.
func firmware(os, devices string) string {
	return "<domain type='kvm'>\n<name>a</name>\n<memory>65536</memory>\n<os><type>hvm</type>" + os + "</os>\n<devices>" + devices + "</devices>\n</domain>\n"
}

func withDevices(xml string) string { return bootable("<devices>" + xml + "</devices>") }

func parse(t *testing.T, xml string) (*Domain, []Warning) {
	t.Helper()
	d, warnings, err := Parse("vm.xml", strings.NewReader(xml))
	if err != nil {
		t.Fatal(err)
	}
	return d, warnings
}

// TestHonoured has what this version honours: there must be neither refusal nor warning.
func TestHonoured(t *testing.T) {
	for _, xml := range []string{
		bootable(""),
		bootable("<uuid>4dea22b31d52d8f32516782e98ab3fa0</uuid><title>t</title><description>d</description>"),
		bootable("<currentMemory>65536</currentMemory>"),
		bootable("<currentMemory unit='MiB'>64</currentMemory>"),
		bootable("<currentMemory>4096</currentMemory>"),
		bootable("<vcpu current='3'>3</vcpu>"),
		bootable("<features><acpi/><apic/><pae/><hap/></features>"),
		bootable("<cpu/>"),
		bootable("<cpu match='exact'><topology sockets='4' cores='1' threads='1'/></cpu>"),
		bootable("<cpu mode='custom'/>"),
		bootable("<clock offset='utc'><timer name='rtc' tickpolicy='catchup'/><timer name='pit' tickpolicy='delay'/><timer name='hpet' present='no'/></clock>"),
		bootable("<clock offset='utc'><timer name='hpet' present='yes' tickpolicy='merge'/></clock>"),
		bootable("<clock offset='localtime'/>"),
		bootable("<clock offset='timezone' timezone='Asia/Kathmandu'/>"),
		bootable("<clock offset='variable' adjustment='-3600'><timer name='rtc' track='guest'/></clock>"),
		bootable("<clock offset='utc'><timer name='rtc' tickpolicy='merge'/><timer name='pit' tickpolicy='catchup'><catchup threshold='123' slew='120' limit='10000'/></timer></clock>"),
		bootable("<clock offset='utc'><timer name='tsc' present='no'/><timer name='kvmclock' present='no'/><timer name='pit' present='no'/><timer name='rtc' present='no'/></clock>"),
		bootable("<clock offset='utc'><timer name='tsc' frequency='2400000000' mode='smpsafe'/></clock>"),
		bootable("<clock offset='utc'><timer name='tsc' mode='paravirt'/></clock>"),
		bootable("<clock offset='utc'><timer name='tsc' present='yes'/><timer name='kvmclock' present='yes'/><timer name='hypervclock' present='no'/></clock>"),
		bootable("<on_poweroff>restart</on_poweroff><on_reboot>destroy</on_reboot><on_crash>restart</on_crash>"),
		bootable("<on_poweroff>preserve</on_poweroff><on_reboot>rename-restart</on_reboot><on_crash>coredump-restart</on_crash>"),
		withDevices("<watchdog model='i6300esb'/><panic model='isa'/>"),
		withDevices("<watchdog model='ib700' action='dump'/><panic><address type='isa' iobase='0x505'/></panic>"),
		bootable("<blkiotune/><memtune/><memoryBacking/><cputune/>"),
		bootable("<memoryBacking><hugepages><page size='1' unit='GiB'/></hugepages><nosharepages/><locked/><allocation mode='immediate' threads='2'/></memoryBacking>"),
		bootable("<memoryBacking><hugepages/></memoryBacking>"),
		bootable("<blkiotune><weight>100</weight></blkiotune><memtune><hard_limit>9</hard_limit><soft_limit>9</soft_limit>" +
			"<swap_hard_limit>10</swap_hard_limit><min_guarantee>9</min_guarantee></memtune><cputune><shares>2</shares></cputune>"),
		bootable("<vcpu cpuset='0-3,^2'>2</vcpu><cputune><vcpupin vcpu='1' cpuset='1'/><emulatorpin cpuset='0'/></cputune>"),
		withDevices("<serial type='null'/><serial type='stdio'/><serial type='file'><source path='/l'/></serial><serial type='pty'/>"),
		withDevices("<serial type='pty'><target type='isa-serial' port='0'><model name='isa-serial'/></target><alias name='s'/></serial>"),
		withDevices("<console type='pty'/>"),
		withDevices("<console type='stdio'><target type='serial' port='0'/></console>"),
		withDevices("<serial type='tcp'><source mode='bind' host='a' service='1'/><protocol type='telnets'/></serial>" +
			"<serial type='udp'><source mode='connect' host='a' service='1'/></serial>" +
			"<serial type='unix'><source mode='bind' path='/s'/><log file='/l' append='on'/></serial>" +
			"<serial type='file'><source path='/a' append='on'/></serial>"),
		withDevices("<parallel type='dev'><source path='/dev/parport0'/></parallel><parallel type='pipe'><source path='/p'/></parallel>" +
			"<serial type='vc'/><serial type='dev'><source path='/dev/ttyS0'/></serial><console type='vc'><target type='virtio'/></console>"),
		withDevices("<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"),
		withDevices("<memballoon model='none'/>"),
		withDevices("<memballoon model='virtio' autodeflate='on' freePageReporting='off'><stats period='5'/></memballoon>"),
		withDevices("<controller type='usb' model='none'/>"),
		withDevices("<controller type='virtio-serial' index='0' ports='4' vectors='0'/>"),
		withDevices("<console type='pty'><target type='virtio'/></console><console type='file'><source path='/l'/><target type='virtio'/></console>"),
		withDevices("<channel type='null'><target type='virtio' name='a'/></channel><channel type='stdio'><target type='virtio'/></channel>"),
		withDevices("<channel type='file'><source path='/l'/><target type='virtio'/></channel><channel type='pty'><target type='virtio'/></channel>"),
		withDevices("<rng model='virtio'><backend model='random'/></rng><rng model='virtio'><backend model='builtin'/><rate bytes='9'/></rng>"),
		withDevices("<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng><rng model='virtio'><backend model='random'>/dev/random</backend></rng>"),
		withDevices("<disk><source file='/a'/><target dev='vda'/></disk>"),
		withDevices("<disk type='block' device='disk'><driver name='qemu' type='raw' cache='none' io='native' error_policy='enospace'/>" +
			"<source dev='/dev/a'/><target dev='hda' bus='virtio'/><readonly/><shareable/><serial>s</serial></disk>"),
		withDevices("<disk type='file'><driver cache='writethrough' io='threads' error_policy='stop'/><source file='/a'/><target dev='vda'/></disk>"),
		withDevices("<disk type='file'><driver cache='writeback' error_policy='ignore'/><source file='/a'/><target dev='vda'/></disk>"),
		withDevices("<disk type='file'><driver cache='default' error_policy='report' discard='unmap' detect_zeroes='off' queues='4'/>" +
			"<source file='/a'/><blockio logical_block_size='4096'/><target dev='vda'/></disk>"),
		withDevices("<interface type='bridge'><source bridge='br0'/><model type='ViRtIo'/><target dev='tap3'/></interface>"),
		withDevices("<interface type='ethernet'><script path=''/><model type='virtio'/></interface>"),
		withDevices("<interface type='ethernet'><script path='/s'/><target dev='t' managed='no'/></interface>"),
		withDevices("<interface type='ethernet'/>"),
		withDevices("<interface type='user'><model type='virtio'/><portForward proto='tcp'><range start='2022' to='22'/></portForward></interface>"),
		withDevices("<interface type='user'><model type='E1000'/></interface>"),
		withDevices("<interface type='user'><model type='rtl8139'/></interface>"),
		withDevices("<interface type='user'/>"),
		withDevices("<interface type='mcast'><source address='230.0.0.1' port='5558'/><model type='virtio'/></interface>"),
		withDevices("<interface type='server'><source port='5558'/><model type='virtio'/><driver queues='1'/></interface>"),
		withDevices("<interface type='client'><source address='192.0.2.1' port='5558'/><model type='virtio'/></interface>"),
		withDevices("<interface type='ethernet'><target dev='t0' managed='no'/><model type='virtio'/></interface>"),
		withDevices("<interface type='ethernet'><target dev='t0' managed='yes'/><model type='virtio'/></interface>"),
		withDevices("<interface type='bridge'><source bridge='br0'/><model type='virtio'/><driver name='vhost' txmode='timer' queues='2'>" +
			"<host csum='on'/><guest csum='on'/></driver><link state='up'/><mtu size='9000'/></interface>"),
		withDevices("<interface type='bridge'><source bridge='br0'/><model type='virtio'/><driver name='qemu' txmode='iothread'/></interface>"),
		withDevices("<interface type='bridge'><source bridge='br0'/><model type='virtio'/><driver><host csum='off' gso='off' tso4='off' tso6='off' ecn='off' ufo='off' mrg_rxbuf='off'/>" +
			"<guest csum='off' tso4='off' tso6='off' ecn='off' ufo='off'/></driver><link state='down'/><rom bar='off' file='/r'/></interface>"),
		withDevices("<disk><driver io='io_uring'/><source file='/a'/><blockio logical_block_size='512' physical_block_size='4096'/><target dev='vda'/></disk>"),
		withDevices("<disk><source file='/a'/><target dev='hda'/><serial>12345678901234567890</serial><wwn>5000c50015ea71ad</wwn></disk>" +
			"<disk type='block'><driver error_policy='stop'/><source dev='/b'/><target dev='vda' bus='ide'/><address type='drive' controller='0' bus='1' target='0' unit='1'/></disk>"),
		withDevices("<disk><source file='/a'/><blockio logical_block_size='512' physical_block_size='4096'/><target dev='hda'/></disk>"),
		withDevices("<disk device='cdrom'><source file='/a' startupPolicy='optional'/><target dev='hdc' bus='ide' tray='open'/><readonly/></disk><disk device='cdrom'><target dev='hda'/></disk>"),
		withDevices("<disk device='cdrom'><source file='/a' startupPolicy='mandatory'/><target dev='hdc' tray='closed'/></disk>"),
		withDevices("<disk device='floppy'><source file='/a' startupPolicy='requisite'/><target dev='fda' bus='fdc'/><readonly/></disk><disk device='floppy'><target dev='fdb'/></disk>"),
		withDevices("<controller type='ide' index='0'/><controller type='fdc' index='0'/><controller type='pci' index='0' model='pci-root'/>"),
		withDevices("<controller type='ide' index='0' model='piix3'><address type='pci' domain='0' bus='0' slot='1' function='1'/></controller>"),
		withDevices("<video><model type='vga'/></video>"),
		withDevices("<video><model type='vga' vram='262144' heads='1'><acceleration accel3d='no' accel2d='no'/></model><address type='pci' bus='0' slot='7' function='0'/></video>"),
		withDevices("<input type='mouse' bus='ps2'/><input type='keyboard' bus='ps2'/><input type='keyboard'/>"),
		withDevices("<video><model type='none'/></video>"),
		firmware("", ""),
		firmware("<bootmenu enable='yes' timeout='0'/><bios useserial='yes' rebootTimeout='-1'/>", "<serial type='pty'/>"),
		firmware("<bootmenu enable='yes' timeout='65535'/><bios useserial='yes' rebootTimeout='65535'/>", "<console type='pty'/>"),
		firmware("<bootmenu enable='no'/><bios useserial='no'/>", ""),
		firmware("<loader>/usr/share/seabios/bios.bin</loader><smbios mode='host'/>", ""),
		firmware("<loader readonly='yes' type='rom' secure='no'>/f</loader><kernel>/k</kernel><bootmenu enable='yes'/>", ""),
		firmware("<boot dev='network'/><boot dev='fd'/><boot dev='cdrom'/><boot dev='hd'/>", "<disk><source file='/a'/><target dev='hda'/></disk>"+
			"<disk device='cdrom'><target dev='hdc'/></disk><disk device='floppy'><target dev='fda'/></disk>"+
			"<interface type='bridge'><source bridge='b'/><model type='virtio'/></interface>"),
		firmware("", "<disk><source file='/a'/><target dev='vda'/><boot order='2'/></disk>"+
			"<interface type='bridge'><source bridge='b'/><model type='virtio'/><boot order='1'/><rom file='/r'/></interface>"),
		strings.Replace(firmware("<smbios mode='sysinfo'/>", ""), "<devices>", "<sysinfo type='smbios'>"+
			"<bios><entry name='vendor'>v</entry><entry name='version'>v</entry><entry name='date'>02/29/2012</entry><entry name='release'>255.0</entry></bios>"+
			"<system><entry name='manufacturer'>m</entry><entry name='product'>p</entry><entry name='version'>v</entry><entry name='serial'>s</entry>"+
			"<entry name='uuid'>4dea22b31d52d8f32516782e98ab3fa0</entry><entry name='sku'>s</entry><entry name='family'>f</entry></system>"+
			"<baseBoard><entry name='asset'>a</entry><entry name='location'>l</entry></baseBoard><chassis><entry name='sku'>s</entry></chassis>"+
			"<oemStrings><entry>one</entry><entry>two</entry></oemStrings></sysinfo><devices>", 1),
		strings.Replace(firmware("", "<disk><source file='/a'/><target dev='vda'/></disk>"), "<os>", "<bootloader>/usr/bin/pygrub</bootloader><bootloader_args>-q</bootloader_args><os>", 1),
		"<domain type='kvm'><name>a</name><memory>9</memory><os><type arch='i686' machine='pc-1.0'>hvm</type><kernel>/k</kernel><initrd>/i</initrd><cmdline>c</cmdline></os></domain>",
		"<domain type='kvm'><name>a</name><memory>9</memory><os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type><kernel>/k</kernel><smbios mode='emulate'/></os></domain>",
	} {
		d, warnings := parse(t, xml)
		for _, w := range warnings {
			t.Errorf("%s\nwarns: %s", xml, w)
		}
		for _, r := range Unsupported(d) {
			t.Errorf("%s\nis refused: %s", xml, r)
		}
		if err := d.SetDefaults(testRandom()); err != nil {
			t.Fatal(err)
		}
		if err := d.AssignAddresses(); err != nil {
			t.Fatal(err)
		}
		for _, r := range Unsupported(d) {
			t.Errorf("%s\nis refused when it is completed: %s", xml, r)
		}
	}
}

// reports returns warnings and refusals of a domain, without the file's name.
func reportsOf(t *testing.T, xml string) (warnings, refusals []string) {
	t.Helper()
	d, ws := parse(t, xml)
	for _, w := range ws {
		warnings = append(warnings, strings.TrimPrefix(w.String(), "vm.xml:"))
	}
	for _, r := range Unsupported(d) {
		if r.Error() != r.String() {
			t.Errorf("a refusal's Error and String differ: %q and %q", r.Error(), r)
		}
		refusals = append(refusals, strings.TrimPrefix(r.String(), "vm.xml:"))
	}
	return warnings, refusals
}

func TestRefusals(t *testing.T) {
	os := func(inner string) string {
		return "<domain type='kvm'><name>a</name><memory>9</memory>\n<os>" + inner + "</os></domain>"
	}
	for _, c := range []struct{ xml, want string }{
		{strings.Replace(bootable(""), "kvm", "xen", 1), `1:9: type="xen": reserved to Xen`},
		{strings.Replace(bootable(""), "kvm", "lxc", 1), `1:9: type="lxc": reserved to LXC`},
		{strings.Replace(bootable(""), "kvm", "kqemu", 1), `1:9: type="kqemu": another hypervisor's`},
		{os("<type>linux</type><kernel>/k</kernel>"), `2:5: os/type: "linux": reserved to Xen`},
		{os("<type>exe</type><kernel>/k</kernel>"), `2:5: os/type: "exe": reserved to containers`},
		{os("<type arch='ppc64'>hvm</type><kernel>/k</kernel>"), `2:11: os/type: arch="ppc64": govmm runs x86_64 and i686`},
		{os("<type machine='q35'>hvm</type><kernel>/k</kernel>"), `2:11: os/type: machine="q35": the machine is not`},
		{os("<type machine='isapc'>hvm</type><kernel>/k</kernel>"), `2:11: os/type: machine="isapc": the machine is not`},
		{os("<type>hvm</type><loader type='pflash'>/l</loader>"), `2:29: os/loader: type="pflash": newer than the format's document: flash for firmware`},
		{os("<type>hvm</type><loader secure='yes'>/l</loader>"), `2:29: os/loader: secure="yes": newer than the format's document: firmware in system`},
		{os("<type>hvm</type><loader format='qcow2'>/l</loader>"), `2:29: os/loader: format="qcow2": newer than the format's document, and not honoured: firmware in an image format`},
		{os("<type>hvm</type><nvram>/n</nvram>"), `2:21: os/nvram: newer than the format's document, and not honoured`},
		{"<domain type='kvm'><name>a</name><memory>9</memory>\n<os firmware='efi'><type>hvm</type></os></domain>", `2:5: os: firmware="efi": newer than`},
		{strings.Replace(bootable("<sysinfo type='smbios'><system><entry name='family'>caf\u00e9</entry></system></sysinfo>"), "<kernel>", "<smbios mode='sysinfo'/><kernel>", 1),
			`5:32: sysinfo/system/entry: SMBIOS strings of over 4096 bytes`},
		{strings.Replace(bootable("<sysinfo type='smbios'><oemStrings><entry>"+strings.Repeat("x", 4097)+"</entry></oemStrings></sysinfo>"), "<kernel>", "<smbios mode='sysinfo'/><kernel>", 1),
			`5:36: sysinfo/oemStrings/entry: SMBIOS strings of over 4096 bytes`},
		{bootable("<sysinfo type='fwcfg'/>"), `5:10: sysinfo: type="fwcfg": not in this version`},
		{bootable("<memoryBacking><hugepages><page size='4'/></hugepages></memoryBacking>"), `5:27: memoryBacking/hugepages/page: there are huge pages of 2 MiB`},
		{bootable("<memoryBacking><hugepages><page size='2' unit='M'/><page size='1' unit='G'/></hugepages></memoryBacking>"),
			`5:52: memoryBacking/hugepages/page[2]: huge pages of several sizes`},
		{bootable("<memoryBacking><hugepages><page size='2048' nodeset='1'/></hugepages></memoryBacking>"), `5:45: memoryBacking/hugepages/page: nodeset="1": newer than`},
		{bootable("<memoryBacking><discard/></memoryBacking>"), `5:16: memoryBacking/discard: newer than`},
		{bootable("<vcpu current='1'>2</vcpu>"), `5:7: vcpu: current="1": CPUs that are offline`},
		{bootable("<vcpu placement='auto'>2</vcpu>"), `5:7: vcpu: placement="auto": newer than`},
		{bootable("<cputune><period>9</period></cputune>"), `5:10: cputune/period: newer than`},
		{bootable("<cpu><model>qemu64</model></cpu>"), `5:6: cpu/model: CPU models`},
		{bootable("<cpu match='strict'/>"), `5:6: cpu: match="strict": demands on the host's CPU`},
		{bootable("<cpu mode='host-passthrough'/>"), `5:6: cpu: mode="host-passthrough": newer than`},
		{bootable("<cpu><topology sockets='1' cores='2' threads='1'/></cpu>"), `5:6: cpu/topology: sockets of more than one core`},
		{bootable("<cpu><numa/></cpu>"), `5:6: cpu/numa: newer than`},
		{withDevices("<panic model='hyperv'/>"), `5:10: devices/panic: this panic device is not`},
		{withDevices("<panic><address type='isa' iobase='0x506'/></panic>"), `5:10: devices/panic: this panic device is not`},
		{bootable("<features><hyperv/></features>"), `5:11: features/hyperv: newer than`},
		{bootable("<features><vmport/></features>"), `5:11: features/vmport: newer than`},
		{bootable("<features><vmport state='on'/></features>"), `5:19: features/vmport: state="on": newer than`},
		{bootable("<clock offset='timezone' timezone='Europe/Atlantis'/>"), `5:26: clock: timezone="Europe/Atlantis": the time zone database`},
		{bootable("<clock offset='variable' adjustment='7000000000'/>"), `5:26: clock: adjustment="7000000000": an adjustment`},
		{bootable("<clock offset='absolute'/>"), `5:8: clock: offset="absolute": newer than`},
		{bootable("<clock offset='utc'><timer name='platform'/></clock>"), `5:21: clock/timer: the platform timer is reserved to Xen`},
		{bootable("<clock offset='utc'><timer name='rtc' tickpolicy='catchup'><catchup slew='100'/></timer></clock>"), `5:69: clock/timer/catchup: slew="100": the slew is`},
		{bootable("<clock offset='utc'><timer name='rtc' tickpolicy='catchup'><catchup limit='86400001'/></timer></clock>"), `5:69: clock/timer/catchup: limit="86400001": the limit is`},
		{bootable("<clock offset='utc'><timer name='rtc' tickpolicy='catchup'><catchup threshold='86400001'/></timer></clock>"), `5:69: clock/timer/catchup: threshold="86400001": the threshold`},
		{bootable("<clock offset='utc'><timer name='tsc' frequency='9'/></clock>"), `5:39: clock/timer: frequency="9": the frequency is in Hz`},
		{bootable("<clock offset='utc'><timer name='tsc' frequency='4294967296000'/></clock>"), `5:39: clock/timer: frequency="4294967296000": the frequency is in Hz`},
		{strings.Replace(firmware("", ""), "<devices>", "<clock offset='utc'><timer name='pit' present='no'/></clock><devices>", 1),
			`5:39: clock/timer: present="no": firmware counts on the PIT`},
		{strings.Replace(firmware("", ""), "<devices>", "<clock offset='utc'><timer name='rtc' present='no'/></clock><devices>", 1),
			`5:39: clock/timer: present="no": firmware counts on the PIT`},
		{bootable("<clock offset='utc'><timer name='tsc' mode='emulate'/></clock>"), `5:39: clock/timer: mode="emulate": KVM has no way`},
		{bootable("<clock offset='utc'><timer name='kvmclock' present='no'/><timer name='tsc' mode='paravirt'/></clock>"), `5:76: clock/timer[2]: mode="paravirt": that is KVM's clock`},
		{bootable("<qemu:commandline xmlns:qemu='u'><qemu:arg value='-s'/></qemu:commandline>"), `5:1: qemu:commandline: newer than`},
		{bootable("<iothreads>1</iothreads>"), `5:1: iothreads: newer than`},
		{withDevices("<disk><source file='/a'/><target dev='sda'/></disk>"), `5:43: devices/disk/target: dev="sda": a disk that has this name and no bus`},
		{withDevices("<disk><source file='/a'/><target dev='sda' bus='scsi'/></disk>"), `5:53: devices/disk/target: bus="scsi": disks on this bus`},
		{withDevices("<disk><source file='/a'/><target dev='sda' bus='usb'/></disk>"), `5:53: devices/disk/target: bus="usb": disks on this bus`},
		{withDevices("<disk><source file='/a'/><target dev='sda' bus='sata'/></disk>"), `5:53: devices/disk/target: bus="sata": disks on this bus`},
		{withDevices("<disk device='cdrom'><target dev='sda'/></disk>"), `5:39: devices/disk/target: dev="sda": a disk that has this name and no bus`},
		{withDevices("<disk device='cdrom'><target dev='sda' bus='sata'/></disk>"), `5:49: devices/disk/target: bus="sata": disks on this bus`},
		{withDevices("<disk device='cdrom'><target dev='sda' bus='scsi'/></disk>"), `5:49: devices/disk/target: bus="scsi": disks on this bus`},
		{withDevices("<disk device='cdrom'><target dev='sda' bus='usb'/></disk>"), `5:49: devices/disk/target: bus="usb": disks on this bus`},
		{withDevices("<disk><source file='/a'/><target dev='hda'/><readonly/></disk>"), `5:54: devices/disk/readonly: a hard disk on IDE cannot be write-protected`},
		{withDevices("<disk><source file='/a' startupPolicy='optional'/><target dev='hda'/></disk>"), `5:34: devices/disk/source: startupPolicy="optional": leaving out a disk`},
		{withDevices("<disk device='cdrom' type='dir'><source dir='/a'/><target dev='hdc'/></disk>"), `5:31: devices/disk: type="dir": a folder becomes a disk with FAT`},
		{withDevices("<disk type='dir'><driver type='raw'/><source dir='/a'/><target dev='vda'/></disk>"), `5:35: devices/disk/driver: type="raw": a folder becomes a disk with FAT`},
		{withDevices("<disk device='lun'><source file='/a'/><target dev='sda' bus='scsi'/></disk>"), `5:16: devices/disk: device="lun": passing SCSI commands`},
		{withDevices("<disk type='dir'><source dir='/a'/><target dev='hda'/></disk>"), `5:16: devices/disk: type="dir": a folder can only be read`},
		{withDevices("<disk type='network'><source protocol='rbd' name='p/i'><host name='h' port='1'/></source><target dev='vda'/></disk>"), `5:39: devices/disk/source: protocol="rbd": Ceph's protocol`},
		{withDevices("<disk type='network'><source protocol='sheepdog' name='i'/><target dev='vda'/></disk>"), `5:39: devices/disk/source: protocol="sheepdog": Sheepdog has been given up`},
		{withDevices("<disk type='network'><source protocol='iscsi' name='i'><host name='h' port='1'/></source><target dev='vda'/></disk>"), `5:39: devices/disk/source: protocol="iscsi": newer than`},
		{withDevices("<disk type='network'><source protocol='nbd'><host name='h' port='1' transport='rdma'/></source><target dev='vda'/></disk>"), `5:78: devices/disk/source/host: transport="rdma": this transport`},
		{withDevices("<disk type='nvme'><source/><target dev='vda'/></disk>"), `5:16: devices/disk: type="nvme": this kind of disk`},
		{withDevices("<disk><driver name='vbd'/><source file='/a'/><target dev='vda'/></disk>"), `5:24: devices/disk/driver: name="vbd": this driver`},
		{withDevices("<disk><driver type='vmdk'/><source file='/a'/><target dev='vda'/></disk>"), `5:24: devices/disk/driver: type="vmdk": this image format`},
		{withDevices("<disk><driver type='qed'/><source file='/a'/><target dev='vda'/><shareable/></disk>"), `5:74: devices/disk/shareable: an image in a format`},
		{withDevices("<disk><driver type='bochs'/><source file='/a'/><target dev='vda'/><shareable/></disk>"), `5:76: devices/disk/shareable: an image in a format`},
		{withDevices("<disk><driver type='qcow'/><source file='/a'/><target dev='vda'/></disk>"), `5:24: devices/disk/driver: type="qcow": images of the first qcow are read, and not written: <readonly/> says so`},
		{withDevices("<disk><driver type='qcow'/><source file='/a'/><target dev='vda'/><readonly/><encryption format='luks'><secret type='passphrase' uuid='0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f'/></encryption></disk>"), `5:98: devices/disk/encryption: format="luks": an image of the first qcow has none but qcow`},
		{withDevices("<disk><driver type='qed'/><source file='/a'/><target dev='vda'/><encryption format='luks'><secret type='passphrase' uuid='0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f'/></encryption></disk>"), `5:74: devices/disk/encryption: encryption in this image format`},
		{withDevices("<disk><driver cache='unsafe'/><source file='/a'/><target dev='vda'/></disk>"), `5:24: devices/disk/driver: cache="unsafe": this cache mode`},
		{withDevices("<disk><driver cache='directsync'/><source file='/a'/><target dev='vda'/></disk>"), `5:24: devices/disk/driver: cache="directsync": this cache mode`},
		{withDevices("<disk><driver iothread='1'/><source file='/a'/><target dev='vda'/></disk>"), `5:24: devices/disk/driver: iothread="1": newer than`},
		{withDevices("<disk><source file='/a'/><blockio logical_block_size='4096'/><target dev='hda'/></disk>"), `5:44: devices/disk/blockio: logical_block_size="4096": only a disk on virtio`},
		{withDevices("<disk><source file='/a'/><target dev='vda'/><encryption format='luks'/></disk>"), `5:54: devices/disk/encryption: it needs one <secret>`},
		{withDevices("<disk><source file='/a'/><target dev='vda'/><encryption format='luks'><secret type='passphrase' usage='x'/></encryption></disk>"), `5:54: devices/disk/encryption: it needs one <secret>`},
		{withDevices("<disk><source file='/a'/><target dev='vda'/><encryption format='qcow'><secret type='passphrase' uuid='0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f'/></encryption></disk>"), `5:66: devices/disk/encryption: format="qcow": this encryption`},
		{withDevices("<disk><source file='/a'><encryption format='default'><secret type='passphrase' uuid='0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f'/></encryption></source><target dev='vda'/></disk>"), `5:46: devices/disk/source/encryption: format="default": this encryption`},
		{withDevices("<disk><source file='/a'/><target dev='xvda'/></disk>"), `5:10: devices/disk: Xen's disk bus and drivers`},
		{withDevices("<disk><source file='/a'/><target dev='xvda' bus='xen'/></disk>"), `5:10: devices/disk: Xen's disk bus and drivers`},
		{withDevices("<disk><driver name='tap'/><source file='/a'/><target dev='hda'/></disk>"), `5:10: devices/disk: Xen's disk bus and drivers`},
		{withDevices("<filesystem><source dir='/a'/><target dir='t'/></filesystem>"), `5:10: devices/filesystem: host folders`},
		{withDevices("<filesystem type='template'><source name='a'/><target dir='t'/></filesystem>"), `5:10: devices/filesystem: templates are reserved to OpenVZ`},
		{withDevices("<controller type='scsi'/>"), `5:10: devices/controller: this controller is not`},
		{withDevices("<controller type='virtio-serial' model='virtio-transitional'/>"), `5:10: devices/controller: this controller is not`},
		{withDevices("<controller type='ide' model='ich6'/>"), `5:10: devices/controller: this controller is not`},
		{withDevices("<controller type='usb' model='nec-xhci'/>"), `5:10: devices/controller: this controller is not`},
		{withDevices("<hostdev type='usb'><source><address bus='1' device='2'/></source></hostdev>"), `5:10: devices/hostdev: host devices are not`},
		{withDevices("<hostdev mode='capabilities' type='net'><source/></hostdev>"), `5:10: devices/hostdev: capabilities are reserved to LXC`},
		{withDevices("<smartcard mode='host'/>"), `5:10: devices/smartcard: smartcards are not`},
		{withDevices("<interface type='user'><model type='virtio'/><portForward proto='tcp' dev='eth0'><range start='1'/></portForward></interface>"), `5:80: devices/interface/portForward: dev="eth0"`},
		{withDevices("<interface type='direct'><source dev='eth0'/><virtualport type='802.1Qbg'><parameters managerid='1' typeid='2' typeidversion='3'/></virtualport><model type='virtio'/></interface>"), `5:55: devices/interface/virtualport: to associate a guest`},
		{withDevices("<interface type='network'><source network='n'/><model type='virtio'/></interface>"), `5:21: devices/interface: type="network": this network`},
		{withDevices("<interface type='server'><source port='5'/><model type='virtio'/><driver queues='2'/></interface>"), `5:83: devices/interface/driver: queues="2": only a tap has`},
		{withDevices("<interface type='bridge'><source bridge='b'/><model type='pcnet'/></interface>"), `5:62: devices/interface/model: type="pcnet": this NIC`},
		{withDevices("<interface type='bridge'><source bridge='b'/><virtualport type='openvswitch'/><model type='virtio'/></interface>"), `5:55: devices/interface/virtualport: virtual ports`},
		{withDevices("<input type='tablet' bus='usb'/>"), `5:10: devices/input: this input device is not`},
		{withDevices("<input type='tablet'/>"), `5:10: devices/input: this input device is not`},
		{withDevices("<input type='mouse' bus='xen'/>"), `5:10: devices/input: reserved to Xen`},
		{withDevices("<graphics type='vnc'/>"), `5:10: devices/graphics: displays are not`},
		{withDevices("<graphics type='rdp'/>"), `5:10: devices/graphics: reserved to VirtualBox`},
		{withDevices("<video><model type='cirrus'/></video>"), `5:10: devices/video: this video device is not`},
		{withDevices("<video><model type='vmvga'/></video>"), `5:10: devices/video: this video device is not`},
		{withDevices("<video><model type='qxl'/></video>"), `5:10: devices/video: this video device is not`},
		{withDevices("<video><model type='bochs'/></video>"), `5:10: devices/video: this video device is not`},
		{withDevices("<video><model type='vga' vram='262145'/></video>"), `5:35: devices/video/model: vram="262145": more than 256 MiB`},
		{withDevices("<video><model type='vga'><acceleration accel3d='yes'/></model></video>"), `5:49: devices/video/model/acceleration: accel3d="yes": acceleration`},
		{withDevices("<video><model type='vga'><acceleration accel2d='yes'/></model></video>"), `5:49: devices/video/model/acceleration: accel2d="yes": acceleration`},
		{withDevices("<disk><source file='/a'/><target dev='vda'/><rom bar='off'/></disk>"), `5:54: devices/disk/rom: newer than`},
		{withDevices("<video><model type='xen'/></video>"), `5:10: devices/video: reserved to Xen`},
		{withDevices("<video><model type='vbox'/></video>"), `5:10: devices/video: reserved to VirtualBox`},
		{withDevices("<serial type='spicevmc'/>"), `5:18: devices/serial: type="spicevmc": this host end`},
		{withDevices("<serial type='pty'><target type='usb-serial'/></serial>"), `5:37: devices/serial/target: type="usb-serial": this serial port`},
		{withDevices("<serial type='pty'><target><model name='16550a'/></target></serial>"), `5:44: devices/serial/target/model: name="16550a": this serial port`},
		{withDevices("<console type='dbus'/>"), `5:19: devices/console: type="dbus": this host end`},
		{withDevices("<console type='nmdm'><target type='virtio'/></console>"), `5:19: devices/console: type="nmdm": this host end`},
		{withDevices("<console type='pty'><target type='sclp'/></console>"), `5:38: devices/console/target: type="sclp": this console`},
		{withDevices("<console type='pty'><target type='xen'/></console>"), `5:38: devices/console/target: type="xen": reserved to Xen`},
		{withDevices("<parallel type='spicevmc'/>"), `5:20: devices/parallel: type="spicevmc": this host end`},
		{withDevices("<channel type='dbus'><target type='virtio'/></channel>"), `5:19: devices/channel: type="dbus": this host end`},
		{withDevices("<channel type='pty'><target type='guestfwd' address='10.0.2.1' port='1'/></channel>"), `5:38: devices/channel/target: type="guestfwd": it is an address in the user network`},
		{withDevices("<interface type='user'><model type='virtio'/></interface><channel type='pty'><target type='guestfwd' address='10.0.3.1' port='1'/></channel>"), `5:111: devices/channel/target: address="10.0.3.1": the user network is 10.0.2.0/24`},
		{withDevices("<interface type='user'><model type='virtio'/></interface><channel type='pty'><target type='guestfwd' address='10.0.2.2' port='1'/></channel>"), `5:111: devices/channel/target: address="10.0.2.2": the user network is 10.0.2.0/24`},
		{withDevices("<channel type='pty'><target type='xen'/></channel>"), `5:38: devices/channel/target: type="xen": reserved to Xen`},
		{withDevices("<sound model='ac97'/>"), `5:10: devices/sound: sound cards are not`},
		{withDevices("<watchdog model='itco'/>"), `5:20: devices/watchdog: model="itco": this watchdog is not`},
		{withDevices("<memballoon model='virtio-transitional'/>"), `5:22: devices/memballoon: model="virtio-transitional": this memory balloon`},
		{withDevices("<memballoon model='xen'/>"), `5:10: devices/memballoon: reserved to Xen`},
		{withDevices("<rng model='virtio-transitional'><backend model='builtin'/></rng>"), `5:15: devices/rng: model="virtio-transitional": this entropy device`},
		{withDevices("<rng model='virtio'><backend model='random'>/dev/hwrng</backend></rng>"), `5:30: devices/rng/backend: "/dev/hwrng": this source`},
		{withDevices("<rng model='virtio'><backend model='egd' type='unix'><source path='/s'/></backend></rng>"), `5:39: devices/rng/backend: model="egd": daemons as a source`},
		{withDevices("<tpm model='tpm-tis'/>"), `5:10: devices/tpm: newer than`},
	} {
		_, refusals := reportsOf(t, c.xml)
		if len(refusals) != 1 || !strings.HasPrefix(refusals[0], c.want) {
			t.Errorf("%s\nis refused as %q\nwant           %q", c.xml, refusals, c.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, c := range []struct {
		xml  string
		want []string
	}{
		{strings.Replace(bootable(""), "kvm", "qemu", 1), []string{`1:9: type="qemu": runs on KVM, as type="kvm" does`}},
		{strings.Replace(bootable(""), "kvm'", "kvm' id='3'", 1), []string{`1:20: id="3": ignored: only a running domain has an id`}},
		{strings.Replace(bootable(""), "<kernel>", "<boot dev='hd'/><bootmenu enable='no'/><kernel>", 1), []string{
			`4:21: os/boot: ignored: the domain is started in its kernel, without firmware`, `4:37: os/bootmenu: ignored: the domain is started in its kernel, without firmware`}},
		{bootable("<currentMemory>65537</currentMemory>"), []string{`5:1: currentMemory: more than <memory> is lowered to that`}},
		{bootable("<currentMemory>4096</currentMemory><devices><memballoon model='none'/></devices>"), []string{
			`5:1: currentMemory: without effect: there is no memory balloon to take the rest`}},
		{bootable("<sysinfo type='smbios'/>"), []string{`5:1: sysinfo: ignored: <smbios mode="sysinfo"/> in <os> would make use of it`}},
		{bootable("<cputune><vcpupin vcpu='1' cpuset='0'/></cputune>"), []string{`5:19: cputune/vcpupin: vcpu="1": ignored: the domain has no such CPU`}},
		{bootable("<metadata><x/></metadata>"), []string{`5:1: ignored: newer than the format's document: element <metadata>: it has no effect on the machine`}},
		{bootable("<resource><partition>/m</partition></resource>"), []string{`5:1: ignored: newer than the format's document: element <resource>: cgroups are made where govmm is started`}},
		{bootable("<pm/><seclabel type='none'/>"), []string{
			`5:1: ignored: newer than the format's document: element <pm>: the guest is offered no sleep states`,
			`5:6: ignored: newer than the format's document: element <seclabel>: security labels are the business of what starts govmm`}},
		{bootable("<vcpu placement='static'>1</vcpu>"), []string{`5:7: vcpu: ignored: newer than the format's document: attribute placement="static": it has no effect on the machine`}},
		{bootable("<features><vmport state='off'/></features>"), []string{`5:11: features: ignored: newer than the format's document: element <vmport>: it has no effect on the machine`}},
		{bootable("<clock offset='utc' adjustment='reset'/>"), []string{`5:21: clock: ignored: newer than the format's document: adjustment="reset": no adjustment is kept`}},
		{bootable("<flavour/>"), []string{`5:1: ignored: unknown element <flavour>`}},
		{bootable("<cpu colour='red'/>"), []string{`5:6: cpu: ignored: unknown attribute colour="red"`}},
		{bootable("<vcpu>1</vcpu>\n<vcpu>2</vcpu>"), []string{`6:1: vcpu[2]: ignored: only the first <vcpu> counts`}},
		{bootable("<features>acpi</features>"), []string{`5:1: features: ignored: text in an element that has none`}},
		{withDevices("<emulator>/q</emulator>"), []string{`5:10: devices/emulator: ignored: govmm is the machine and runs no other program`}},
		{withDevices("<controller type='usb'/>"), []string{`5:10: devices/controller: ignored: there is no USB controller, and nothing that needs one`}},
		{firmware("<loader readonly='no'>/l</loader><bootmenu enable='no' timeout='9'/>", ""), []string{
			`4:29: os/loader: readonly="no": ignored: the guest cannot change its firmware`,
			`4:76: os/bootmenu: timeout="9": ignored: there is no menu`}},
		{firmware("<kernel>/k</kernel><bios rebootTimeout='9'/><bootmenu enable='yes'/>", ""), []string{
			`4:40: os/bios: ignored: the domain is started in its kernel, without firmware`,
			`4:65: os/bootmenu: ignored: the domain is started in its kernel, without firmware`}},
		{firmware("<bios useserial='yes'/>", "<console type='pty'><target type='virtio'/></console>"), []string{
			`4:27: os/bios: useserial="yes": ignored: there is no serial port`}},
		{firmware("<boot dev='hd'/><boot dev='hd'/>", "<disk><source file='/a'/><target dev='hda'/></disk>"), []string{
			`4:37: os/boot[2]: ignored: this class of devices stands before`}},
		{firmware("<kernel>/k</kernel><boot dev='cdrom'/>", ""), []string{
			`4:40: os/boot: ignored: the domain is started in its kernel, without firmware`}},
		{strings.Replace(firmware("<boot dev='network'/>", "<disk><source file='/a'/><target dev='vda'/></disk>"), "<os>", "<bootloader>/b</bootloader><os>", 1), []string{
			`4:48: os/boot: ignored: the domain is started in its kernel, without firmware`}},
		{bootable("<bootloader_args>-q</bootloader_args>"), []string{`5:1: bootloader_args: ignored: they are for a <bootloader>, and there is none`}},
		{"<domain type='kvm'><name>a</name><memory>9</memory>\n<os firmware='bios'><type>hvm</type></os></domain>", []string{
			`2:5: os: ignored: newer than the format's document: attribute firmware="bios": it has no effect on the machine`}},
		{strings.Replace(bootable("<sysinfo type='smbios'><bios><entry name='colour'>x</entry></bios><baseBoard><entry name='sku'>x</entry></baseBoard>"+
			"<chassis><entry name='product'>x</entry></chassis><slots/></sysinfo>"), "<kernel>", "<smbios mode='sysinfo'/><kernel>", 1), []string{
			`5:37: sysinfo/bios/entry: name="colour": ignored: no such field in the SMBIOS block`,
			`5:85: sysinfo/baseBoard/entry: name="sku": ignored: no such field in the SMBIOS block`,
			`5:133: sysinfo/chassis/entry: name="product": ignored: no such field in the SMBIOS block`,
			`5:167: sysinfo: ignored: newer than the format's document: element <slots>: no SMBIOS block is made of it`}},
		{withDevices("<disk><driver packed='on' discard='unmap'/><source file='/a'/><target dev='hda'/></disk>"), []string{
			`5:24: devices/disk/driver: packed="on": ignored: only a disk on virtio has virtqueues`,
			`5:36: devices/disk/driver: discard="unmap": ignored: only a disk on virtio passes on what the guest discards`}},
		{withDevices("<disk><source file='/a'/><target dev='hda'/><serial>12345678901234567890x</serial></disk>"), []string{
			`5:54: devices/disk/serial: the guest sees only the first 20 characters`}},
		{withDevices("<console type='pty' tty='/t'><source path='/t'/></console>"), []string{
			`5:30: devices/console: tty="/t": ignored: it is told to the user, not taken`,
			`5:47: devices/console/source: path="/t": ignored: the pty's name is given by the host`}},
		{withDevices("<interface type='bridge'><source bridge='b'/><target dev='vnet0'/><script path='/s'/></interface>"), []string{
			`5:63: devices/interface/target: dev="vnet0": ignored: names with vnet and vif are given out, not taken`,
			`5:76: devices/interface/script: ignored: a script is only run for type="ethernet"`}},
		{withDevices("<interface type='bridge'><boot order='1'/><driver rx_queue_size='256' tx_queue_size='512'/><source bridge='b'/></interface>"), []string{
			`5:35: devices/interface/boot: ignored: the domain is started in its kernel, without firmware`,
			`5:60: devices/interface/driver: rx_queue_size="256": ignored: the queues have a size of their own`,
			`5:80: devices/interface/driver: tx_queue_size="512": ignored: the queues have a size of their own`}},
		{withDevices("<disk><source file='/a'/><target dev='vda'/><boot order='1'/></disk>"), []string{
			`5:54: devices/disk/boot: ignored: the domain is started in its kernel, without firmware`}},
		{withDevices("<channel type='pty'><source path='/dev/pts/1'/><target type='virtio'/></channel>"), []string{
			`5:38: devices/channel/source: path="/dev/pts/1": ignored: the pty's name is given by the host`}},
		{withDevices("<interface type='user'><model type='e1000'/><driver txmode='timer'/></interface>"), []string{
			`5:62: devices/interface/driver: txmode="timer": ignored: it is for model virtio`}},
		{withDevices("<interface type='server'><source port='5'/><driver name='vhost'/></interface>"), []string{
			`5:61: devices/interface/driver: name="vhost": ignored: only a tap is served by vhost`}},
		{withDevices("<interface type='user'><target managed='yes'/></interface>"), []string{
			`5:41: devices/interface/target: managed="yes": ignored: it is only for type="ethernet"`}},
		{withDevices("<interface type='ethernet'><target dev='vnet0' managed='no'/></interface>"), nil},
		{withDevices("<disk><source file='/a'/><target dev='vda'/><driver detect_zeroes='unmap'/><serial>12345678901234567890x</serial></disk>"), []string{
			`5:62: devices/disk/driver: detect_zeroes="unmap": ignored: zeroes are written as they come`,
			`5:85: devices/disk/serial: the guest sees only the first 20 characters`}},
		{withDevices("<disk><source file='/a'/><target dev='vda'/><driver detect_zeroes='off'/><serial>12345678901234567890</serial></disk>"), nil},
		{withDevices("<disk><source file='/a'/><target dev='sda'/><serial>12345678901234567890x</serial></disk>"), nil},
		{withDevices("<disk><source file='/a'/><target dev='vda'/><wwn>5000c50015ea71ad</wwn></disk>"), []string{
			`5:54: devices/disk/wwn: ignored: only a hard disk on IDE shows it`}},
		{withDevices("<disk snapshot='no'><backingStore/><source file='/a'/><target dev='hda'/></disk>"), []string{
			`5:16: devices/disk: ignored: newer than the format's document: attribute snapshot="no": it has no effect on the machine`,
			`5:30: devices/disk: ignored: newer than the format's document: element <backingStore>: the image itself names what is behind it`}},
	} {
		warnings, _ := reportsOf(t, c.xml)
		if !slices.Equal(warnings, c.want) {
			t.Errorf("%s\nwarns %q\nwant  %q", c.xml, warnings, c.want)
		}
	}
}

// TestDocument checks that docs/domain-xml.md names everything that the tables do.
func TestDocument(t *testing.T) {
	data, err := os.ReadFile("../docs/domain-xml.md")
	if err != nil {
		t.Fatal(err)
	}
	named := make(map[string]bool)
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllSubmatch(data, -1) {
		named[string(m[1])] = true
	}
	for _, r := range slices.Concat(refusals(), harmless(), newerHarmless()) {
		if !named[r.path] {
			t.Errorf("docs/domain-xml.md does not name `%s`", r.path)
		}
	}
}

// TestRulePaths checks what the patterns of rules fit.
func TestRulePaths(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"cputune/*", "cputune/period", true},
		{"cputune/*", "cputune", false},
		{"cputune/*", "cputune/a/b", false},
		{"cputune/*", "cputune/a@b", false},
		{"cputune@*", "cputune@x", true},
		{"devices/*/rom", "devices/disk/rom", true},
		{"devices/*/rom", "devices/rom", false},
		{"devices/*/rom", "devices/disk/rom/x", false},
		{"devices/*/source@append", "devices/serial/source@append", true},
		{"devices/*/source@append", "devices/serial/source@mode", false},
		{"devices/*/address@*", "devices/disk/address@x", true},
	} {
		if got := matchPath(c.pattern, c.path); got != c.want {
			t.Errorf("matchPath(%q, %q) = %v", c.pattern, c.path, got)
		}
	}
}
