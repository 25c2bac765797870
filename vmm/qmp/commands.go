package qmp

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

const capabilitiesCommand = "qmp_capabilities"

// quitReason is the Exit.Source of a machine that was ended by "quit".
const quitReason = "quit"

// command is a command that clients may give.
type command struct {
	name string
	// run takes its arguments, and does nothing before they are done.
	run func(s *Server, ctx context.Context, a *arguments) (any, error)
	// after, if it is there, is called when the answer is on its way.
	after func(s *Server)
}

// commands lists them in the order of query-commands.
func commands() []command {
	return []command{
		{name: "__com.github.govmm_dumpxml", run: (*Server).dumpXML},
		{name: "__com.github.govmm_dump-cancel", run: (*Server).dumpCancel},
		{name: "__com.github.govmm_query-memstats", run: (*Server).queryMemStats},
		{name: "__com.github.govmm_query-netstats", run: (*Server).queryNetStats},
		{name: "__com.github.govmm_reboot", run: (*Server).reboot},
		{name: "__com.github.govmm_resize-console", run: (*Server).resizeConsole},
		{name: "__com.github.govmm_screen-text", run: (*Server).screenText},
		{name: "balloon", run: (*Server).setBalloon},
		{name: "blockdev-add", run: (*Server).addNode},
		{name: "blockdev-change-medium", run: (*Server).changeMedium},
		{name: "blockdev-close-tray", run: (*Server).closeTray},
		{name: "blockdev-del", run: (*Server).deleteNode},
		{name: "blockdev-insert-medium", run: (*Server).insertMedium},
		{name: "blockdev-open-tray", run: (*Server).openTray},
		{name: "blockdev-remove-medium", run: (*Server).removeMedium},
		{name: "change", run: (*Server).changeOld},
		{name: "cont", run: (*Server).cont},
		{name: "dump-guest-memory", run: (*Server).dumpGuestMemory},
		{name: "eject", run: (*Server).eject},
		{name: "inject-nmi", run: (*Server).injectNMI},
		{name: "qmp_capabilities", run: (*Server).negotiate},
		{name: "query-balloon", run: (*Server).queryBalloon},
		{name: "query-block", run: (*Server).queryBlock},
		{name: "query-blockstats", run: (*Server).queryBlockStats},
		{name: "query-chardev", run: (*Server).queryChardev},
		{name: "query-commands", run: (*Server).queryCommands},
		{name: "query-cpus-fast", run: (*Server).queryCPUs},
		{name: "query-dump", run: (*Server).queryDump},
		{name: "query-dump-guest-memory-capability", run: (*Server).queryDumpCapability},
		{name: "query-kvm", run: (*Server).queryKVM},
		{name: "query-name", run: (*Server).queryName},
		{name: "query-qmp-schema", run: (*Server).querySchema},
		{name: "query-status", run: (*Server).queryStatus},
		{name: "query-target", run: (*Server).queryTarget},
		{name: "query-uuid", run: (*Server).queryUUID},
		{name: "query-version", run: (*Server).queryVersion},
		{name: "quit", run: (*Server).quit, after: func(s *Server) { s.machine.Destroy(quitReason) }},
		{name: "screendump", run: (*Server).screendump},
		{name: "send-key", run: (*Server).sendKey},
		{name: "set_link", run: (*Server).setLink},
		{name: "stop", run: (*Server).pause},
		{name: "system_powerdown", run: (*Server).powerdown},
		{name: "system_reset", run: (*Server).reset},
		{name: "watchdog-set-action", run: (*Server).watchdogSetAction},
	}
}

// versionInfo is a VersionInfo (qapi/control.json). "qemu" is the name of the
// member whoever the program is.
type versionInfo struct {
	QEMU struct {
		Major int `json:"major"`
		Minor int `json:"minor"`
		Micro int `json:"micro"`
	} `json:"qemu"`
	Package string `json:"package"`
}

// parseVersion finds the numbers in "v1.2.3-4-gabcdef"; those that are missing
// are 0.
func parseVersion(text string) versionInfo {
	v := versionInfo{Package: strings.TrimSpace("govmm " + text)}
	_, _ = fmt.Sscanf(strings.TrimPrefix(text, "v"), "%d.%d.%d", &v.QEMU.Major, &v.QEMU.Minor, &v.QEMU.Micro)
	return v
}

func (s *Server) greeting() greeting {
	var g greeting
	g.QMP.Version, g.QMP.Capabilities = s.version, []string{}
	return g
}

// negotiate enables capabilities, of which there are none.
func (s *Server) negotiate(_ context.Context, a *arguments) (any, error) {
	enable := optional[[]string](a, "enable")
	if err := a.done(); err != nil {
		return nil, err
	}
	if len(enable) > 0 {
		return nil, failf("the capability '%s' is not offered", enable[0])
	}
	return empty{}, nil
}

func (s *Server) queryVersion(_ context.Context, a *arguments) (any, error) {
	return s.version, a.done()
}

func (s *Server) queryCommands(_ context.Context, a *arguments) (any, error) {
	type info struct {
		Name string `json:"name"`
	}
	var list []info
	for name := range s.commands {
		list = append(list, info{name})
	}
	slices.SortFunc(list, func(a, b info) int { return cmp.Compare(a.Name, b.Name) })
	return list, a.done()
}
