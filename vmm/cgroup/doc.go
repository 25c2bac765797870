// Package cgroup puts this process into a control group of its own, with limits on its
// memory and weights for its share of the processors and disks (cgroups(7); the kernel's
// Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst).
//
// A group is made as near to the one that the process is in as can be, so that the limits of
// a container or a slice go on to hold: inside it, or, in version 2, where a group with
// others has other processes in it, beside it. Its name is govmm-NAME-PID. It is given back
// by Leave; what a killed process has left behind, the next Join finds beside its own and
// removes.
//
// Version 2 is used where it is all there is (/sys/fs/cgroup is of type cgroup2), version 1
// otherwise. Who is not root needs a group to be delegated: that of a unit of
// systemd with Delegate=yes, or a directory that belongs to the user.
//
// It leaves out limits of bandwidth, devices, and the cpuset controller: threads are placed
// by sched_setaffinity(2).
package cgroup
