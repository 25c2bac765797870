package host

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"time"
)

// autopsyTime is how long QEMU may take to tell where its processors are.
const autopsyTime = 5 * time.Second

// samples of where the processors are. A processor that stands is at one place in
// all of them; one that runs in a circle shows the circle.
const samples = 12

// autopsy asks QEMU, by its monitor protocol (QMP), where the machine's processors
// are, some times over, and once for all that the machine's interrupt controllers
// have to say. It is for a machine that is about to be killed because nothing else
// in it answers any more.
func autopsy(monitor *os.File) string {
	conn, err := net.FileConn(monitor)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(autopsyTime)); err != nil {
		return err.Error()
	}
	q := qmp{conn, json.NewDecoder(conn)}
	if _, err := q.execute(`{"execute":"qmp_capabilities"}`); err != nil {
		return fmt.Sprintf("QEMU does not answer: %v", err)
	}
	var b strings.Builder
	for range samples {
		text, err := q.human("info registers -a")
		if err != nil {
			fmt.Fprintf(&b, "%v\n", err)
			return b.String()
		}
		fmt.Fprintln(&b, places(text))
	}
	for _, command := range []string{"info registers -a", "info pic", "info lapic 0", "info lapic 1"} {
		text, err := q.human(command)
		if err != nil {
			text = err.Error()
		}
		fmt.Fprintf(&b, "%s\n%s\n", command, strings.TrimSpace(floating.ReplaceAllString(strings.ReplaceAll(text, "\r", ""), "")))
	}
	return b.String()
}

// floating matches the lines about registers for floating point and vectors.
var floating = regexp.MustCompile(`(?m)^(FCW|FPR|XMM|YMM).*\n`)

var place = regexp.MustCompile(`[RE]IP=([0-9a-f]+) [RE]FL=([0-9a-f]+).* CPL=(\d).* HLT=(\d)`)

// places is a line with the instruction pointer, flags, privilege and HLT state of
// each processor in QEMU's words about registers.
func places(registers string) string {
	var all []string
	for _, m := range place.FindAllStringSubmatch(registers, -1) {
		all = append(all, fmt.Sprintf("at %s flags %s cpl %s hlt %s", m[1], m[2], m[3], m[4]))
	}
	return strings.Join(all, " | ")
}

// qmp speaks QEMU's monitor protocol.
type qmp struct {
	conn net.Conn
	in   *json.Decoder
}

// human has a command of QEMU's human monitor executed and returns its answer.
func (q qmp) human(command string) (string, error) {
	answer, err := q.execute(fmt.Sprintf(`{"execute":"human-monitor-command","arguments":{"command-line":%q}}`, command))
	if err != nil {
		return "", err
	}
	var text string
	err = json.Unmarshal(answer, &text)
	return text, err
}

func (q qmp) execute(command string) (json.RawMessage, error) {
	if _, err := q.conn.Write([]byte(command + "\n")); err != nil {
		return nil, err
	}
	for { // past the greeting and events
		var message struct {
			Return json.RawMessage `json:"return"`
			Error  json.RawMessage `json:"error"`
		}
		if err := q.in.Decode(&message); err != nil {
			return nil, err
		}
		switch {
		case message.Error != nil:
			return nil, fmt.Errorf("QEMU: %s", message.Error)
		case message.Return != nil:
			return message.Return, nil
		}
	}
}
