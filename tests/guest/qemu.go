package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Exit codes of QEMU when the kernel leaves by the debug exit port, which
// makes value<<1|1 of the value written.
const (
	QEMUPassed = 0x10<<1 | 1
	QEMUFailed = 0x11<<1 | 1
)

// QEMUOptions describes the machine of [RunQEMU]: a pc with pvpanic and
// a debug exit port.
type QEMUOptions struct {
	Accel     string    // tcg if empty, or kvm
	PVH       bool      // boot the ELF file by PVH, not the bzImage through firmware
	CPUs      int       // one socket each; 1 if zero
	MemoryMiB int       // 128 if zero
	NoACPI    bool      // no ACPI tables and no power management function
	Cmdline   string    // see the package comment
	Initrd    string    // a file's name; none if empty
	Args      []string  // further arguments
	Output    io.Writer // gets what COM1 prints as it comes; may be nil
}

// QEMURun is what came of a run.
type QEMURun struct {
	Report   *Report
	ExitCode int
	Elapsed  time.Duration // from starting QEMU to its end, firmware included
}

// RunQEMU runs a kernel under QEMU until it leaves or ctx is done. The error
// tells of a QEMU that is missing, cannot start, or was stopped; what the
// kernel found is in the report and its Err method. When ctx ends the run, the
// returned run holds what was printed until then.
func RunQEMU(ctx context.Context, image Image, o QEMUOptions) (*QEMURun, error) {
	const program = "qemu-system-x86_64"
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("guest: the second opinion is QEMU's, of the package qemu-system-x86: %w", err)
	}
	var serial, said bytes.Buffer
	cmd := exec.CommandContext(ctx, path, o.arguments(image)...)
	cmd.Stdout, cmd.Stderr = &serial, &said
	if o.Output != nil {
		cmd.Stdout = io.MultiWriter(&serial, o.Output)
	}
	cmd.WaitDelay = time.Second
	start := time.Now()
	err = cmd.Run()
	run := &QEMURun{ExitCode: cmd.ProcessState.ExitCode(), Elapsed: time.Since(start)}
	var parseErr error
	run.Report, parseErr = ParseOutput(&serial)
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return run, fmt.Errorf("guest: %s was stopped: %w", program, ctx.Err())
	case err != nil && !errors.As(err, &exit):
		return run, fmt.Errorf("guest: %s: %w", program, err)
	case run.ExitCode == 1:
		return run, fmt.Errorf("guest: %s failed: %s", program, bytes.TrimSpace(said.Bytes()))
	}
	return run, parseErr
}

func (o QEMUOptions) arguments(image Image) []string {
	machine, accel, cpus, memory, kernel := "pc", o.Accel, o.CPUs, o.MemoryMiB, image.BzImage
	if o.NoACPI {
		machine += ",acpi=off"
	}
	if accel == "" {
		accel = "tcg"
	}
	if cpus == 0 {
		cpus = 1
	}
	if memory == 0 {
		memory = 128
	}
	if o.PVH {
		kernel = image.ELF
	}
	n := strconv.Itoa(cpus)
	args := []string{
		"-M", machine, "-accel", accel, "-smp", n + ",sockets=" + n, "-m", strconv.Itoa(memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-device", "pvpanic", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
		"-serial", "stdio", "-kernel", kernel, "-append", strings.TrimSpace(o.Cmdline),
	}
	if o.Initrd != "" {
		args = append(args, "-initrd", o.Initrd)
	}
	return slices.Concat(args, o.Args)
}
