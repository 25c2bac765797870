// Package domcfg reads, checks and writes libvirt's domain XML.
//
// The reference is libvirt's document "Domain XML format" of version 0.9.1. All of it is read:
// every element and attribute of the document has a typed field here, whether this version of
// govmm can honour it or not. What later versions of libvirt added is read where its meaning is
// needed (memory units, aliases, listen elements) and otherwise kept as it stands, reported, and
// written back by Format.
//
// The work is done in steps that can be used apart:
//
//   - Parse reads a file and reports every error in it, each with file, line, column and the path
//     of the element, and a Warning for everything that is accepted but has no effect.
//   - Validate makes the same checks on a Domain that was built or changed by a program.
//   - SetDefaults fills in what libvirt fills in when nothing is written, and AssignAddresses
//     gives every device its address. Both always give the same answer for the same input.
//   - Unsupported lists what this version of govmm cannot honour. It works from one table.
//   - Format writes canonical XML. Parsing what Format wrote gives the same Domain.
//
// Each element is described once, in a method named code that serves reading and writing alike,
// so that the two cannot drift apart.
//
// The package knows nothing of Linux, KVM or the host: whether a file exists or the host has a CPU
// feature is for its callers to find out.
package domcfg
