package qmp

import (
	"cmp"
	"context"
	"path/filepath"
	"strings"

	"github.com/govmm/govmm/vmm"
)

// The formats of a core dump. The compressed one is an extension.
const (
	formatELF  = "elf"
	formatZstd = "__com.github.govmm_elf-zstd"
)

// dumpGuestMemory writes a core dump, and returns when it is written, or begun if
// "detach" is true.
func (s *Server) dumpGuestMemory(ctx context.Context, a *arguments) (any, error) {
	paging, protocol := need[bool](a, "paging"), need[string](a, "protocol")
	detach, format := optional[bool](a, "detach"), cmp.Or(optional[string](a, "format"), formatELF)
	path, isFile := strings.CutPrefix(protocol, "file:")
	if a.err == nil {
		switch {
		case paging:
			a.fail("parameter 'paging': a core dump has guest-physical addresses alone here")
		case !isFile:
			a.fail("parameter 'protocol' is '%s'; only 'file:PATH' is possible", protocol)
		case !filepath.IsAbs(path):
			a.fail("parameter 'protocol': '%s' is not an absolute path", path)
		case format != formatELF && format != formatZstd:
			a.fail("parameter 'format' is '%s', not one of %s, %s", format, formatELF, formatZstd)
		}
	}
	return do(a, func() error {
		o := vmm.DumpOptions{Compress: format == formatZstd}
		if !detach {
			return s.machine.Dump(ctx, path, o)
		}
		// It has begun, or failed, when the client is told.
		begun, failed := make(chan struct{}, 1), make(chan error, 1)
		o.Progress = func(uint64, uint64) {
			select {
			case begun <- struct{}{}:
			default:
			}
		}
		s.dumps.Go(func() { failed <- s.machine.Dump(s.context, path, o) })
		select {
		case <-begun:
			return nil
		case err := <-failed:
			return err
		}
	})
}

// dumpCancel is an extension, as QEMU has no such command: it ends the core dump that is
// being written, whoever asked for it, and removes its file.
func (s *Server) dumpCancel(ctx context.Context, a *arguments) (any, error) {
	return do(a, func() error { return s.machine.CancelDump(ctx) })
}

// dumpData is a DumpQueryResult (qapi/dump.json).
type dumpData struct {
	Status    string `json:"status"`
	Completed uint64 `json:"completed"` // bytes
	Total     uint64 `json:"total"`
}

func dumpDataOf(d vmm.DumpStatus) dumpData {
	names := [...]string{vmm.DumpNone: "none", vmm.DumpActive: "active", vmm.DumpCompleted: "completed", vmm.DumpFailed: "failed"}
	return dumpData{names[d.State], d.Done, d.Total}
}

// dumpedData is the data of DUMP_COMPLETED.
type dumpedData struct {
	Result dumpData `json:"result"`
	Error  string   `json:"error,omitempty"`
}

func dumpedDataOf(e vmm.Event) dumpedData {
	d := dumpedData{Result: dumpDataOf(e.Dump)}
	if e.Err != nil {
		d.Error = e.Err.Error()
	}
	return d
}

func (s *Server) queryDump(_ context.Context, a *arguments) (any, error) {
	return dumpDataOf(s.machine.DumpStatus()), a.done()
}

// queryDumpCapability tells the formats (DumpGuestMemoryCapability).
func (s *Server) queryDumpCapability(_ context.Context, a *arguments) (any, error) {
	return map[string][]string{"formats": {formatELF, formatZstd}}, a.done()
}
