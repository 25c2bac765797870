package net

import (
	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/virtio"
)

// Feature bits (section 5.1.3).
const (
	FeatureCSUM              virtio.Features = 1 << 0
	FeatureGuestCSUM         virtio.Features = 1 << 1
	FeatureCtrlGuestOffloads virtio.Features = 1 << 2
	FeatureMTU               virtio.Features = 1 << 3
	FeatureMAC               virtio.Features = 1 << 5
	FeatureGuestTSO4         virtio.Features = 1 << 7
	FeatureGuestTSO6         virtio.Features = 1 << 8
	FeatureGuestECN          virtio.Features = 1 << 9
	FeatureGuestUFO          virtio.Features = 1 << 10
	FeatureHostTSO4          virtio.Features = 1 << 11
	FeatureHostTSO6          virtio.Features = 1 << 12
	FeatureHostECN           virtio.Features = 1 << 13
	FeatureHostUFO           virtio.Features = 1 << 14
	FeatureMrgRxbuf          virtio.Features = 1 << 15
	FeatureStatus            virtio.Features = 1 << 16
	FeatureCtrlVQ            virtio.Features = 1 << 17
	FeatureCtrlRX            virtio.Features = 1 << 18
	FeatureCtrlVLAN          virtio.Features = 1 << 19
	FeatureCtrlRXExtra       virtio.Features = 1 << 20
	FeatureGuestAnnounce     virtio.Features = 1 << 21
	FeatureMQ                virtio.Features = 1 << 22
	FeatureCtrlMACAddr       virtio.Features = 1 << 23
	FeatureGuestUSO4         virtio.Features = 1 << 54
	FeatureGuestUSO6         virtio.Features = 1 << 55
	FeatureHostUSO           virtio.Features = 1 << 56
	FeatureSpeedDuplex       virtio.Features = 1 << 63
)

// alwaysOffered needs nothing of the host end.
const alwaysOffered = FeatureMAC | FeatureMrgRxbuf | FeatureStatus | FeatureCtrlVQ |
	FeatureCtrlRX | FeatureCtrlVLAN | FeatureCtrlRXExtra | FeatureGuestAnnounce | FeatureCtrlMACAddr

// offloadFeatures are the features for what the host end can do: host is what
// the driver may leave to us when it sends, guest what we may leave to it.
var offloadFeatures = [...]struct {
	offload     hostnet.Offload
	host, guest virtio.Features
}{
	{hostnet.Csum, FeatureCSUM, FeatureGuestCSUM},
	{hostnet.TSO4, FeatureHostTSO4, FeatureGuestTSO4},
	{hostnet.TSO6, FeatureHostTSO6, FeatureGuestTSO6},
	{hostnet.TSOECN, FeatureHostECN, FeatureGuestECN},
	{hostnet.UFO, FeatureHostUFO, FeatureGuestUFO},
	{hostnet.USO4, FeatureHostUSO, FeatureGuestUSO4},
	{hostnet.USO6, FeatureHostUSO, FeatureGuestUSO6},
}

// allHostOffloads are the features that hostOffloads looks at.
const allHostOffloads = FeatureCSUM | FeatureHostTSO4 | FeatureHostTSO6 | FeatureHostECN |
	FeatureHostUFO | FeatureHostUSO

// Withholdable are the features that Options.Withhold may contain: all
// offloads, and mergeable receive buffers.
const Withholdable = allHostOffloads | allGuestOffloads | FeatureMrgRxbuf

// withhold takes features away, and those that depend on them (section
// 5.1.3.1).
func withhold(f, less virtio.Features) virtio.Features {
	f &^= less
	for _, side := range []struct{ csum, tso, ecn, all virtio.Features }{
		{FeatureCSUM, FeatureHostTSO4 | FeatureHostTSO6, FeatureHostECN, allHostOffloads},
		{FeatureGuestCSUM, FeatureGuestTSO4 | FeatureGuestTSO6, FeatureGuestECN, allGuestOffloads},
	} {
		if f&side.csum == 0 {
			f &^= side.all
		}
		if f&side.tso == 0 {
			f &^= side.ecn
		}
	}
	const uso = FeatureGuestUSO4 | FeatureGuestUSO6
	if f&uso != uso {
		f &^= uso // a host end has both or none
	}
	if f&allGuestOffloads == 0 {
		f &^= FeatureCtrlGuestOffloads
	}
	return f
}

// featuresFor are those that a host end's offloads make possible.
func featuresFor(o hostnet.Offload) virtio.Features {
	var f virtio.Features
	for _, x := range offloadFeatures {
		if o&x.offload != 0 {
			f |= x.host | x.guest
		}
	}
	if f != 0 {
		f |= FeatureCtrlGuestOffloads
	}
	return f
}

// guestOffloads are the offloads that a set of features lets us leave to the
// driver, which are also the bits of VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET.
// Features that lack those they depend on (section 5.1.3.1) count for nothing.
func guestOffloads(f virtio.Features) hostnet.Offload {
	var o hostnet.Offload
	for _, x := range offloadFeatures {
		if f&x.guest != 0 {
			o |= x.offload
		}
	}
	const tso, uso = hostnet.TSO4 | hostnet.TSO6, hostnet.USO4 | hostnet.USO6
	if o&hostnet.Csum == 0 {
		return 0
	}
	if o&tso == 0 {
		o &^= hostnet.TSOECN
	}
	if o&uso != uso {
		o &^= uso // a host end has both or none
	}
	return o
}

// allGuestOffloads are the features that guestOffloads looks at.
const allGuestOffloads = FeatureGuestCSUM | FeatureGuestTSO4 | FeatureGuestTSO6 | FeatureGuestECN |
	FeatureGuestUFO | FeatureGuestUSO4 | FeatureGuestUSO6

// headerSize is the size in bytes of the header in both directions (section
// 5.1.6.1).
func headerSize(f virtio.Features) int {
	if f&(FeatureMrgRxbuf|virtio.FeatureVersion1) != 0 {
		return hostnet.HeaderSize
	}
	return hostnet.ShortHeaderSize
}
