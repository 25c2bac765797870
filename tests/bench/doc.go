// Command bench measures govmm beside QEMU (pc and microvm) and gokvm, on the
// same work and in one run, and writes a Markdown table of ratios and, if asked, a JSON file of all
// values.
//
//	go run ./tests/bench [-quick] [-rows REGEXP] [-o FILE.md] [-json FILE]
//
// It measures in three places:
//
//   - here, on this machine's own KVM, with the tiny kernel of tests/guest,
//     which runs on every KVM;
//   - on a test host (tests/testhost) whose time counts instructions: what a
//     stock kernel's start and an exit cost repeats there within 1%;
//   - on a test host with two processors and the usual time, for what needs
//     threads: disk, network, idling.
//
// Neither test host tells how fast anything is on real hardware; the ratios
// hold, since the VMMs run on the same one.
//
// Each group of rows has a test host of its own, and each turn of a VMM a limit
// of time: a peer that stands still, or a host that dies, costs its own rows and
// no others.
//
// Every round measures each VMM once; ratios are formed within a round, and
// none is printed when the spread swallows it (package stats). Disk and network
// figures are normalised in each round by what a CPUID instruction costs the
// guest then, which is the processor's and the kernel's part of an exit and the
// same for every VMM: its changes are the host's. All command lines are in the
// report.
package main
