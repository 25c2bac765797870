package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// obey does what is typed at the console, one command a line, until one ends
// the machine. The answer to each is its last line:
//
//	-> ping 10.0.0.1 3 56
//	<- init: done
//	-> cat /sys/block/vda/serial
//	<- init: done WD-1
//	-> report net
//	<- init: net eth0 52:54:00:00:00:01
//	<- init: done
//	-> read /dev/vdz 0 4096 1
//	<- init: failed open /dev/vdz: no such file or directory
func obey() error {
	if err := quietTerminal(int(os.Stdin.Fd())); err != nil {
		return err
	}
	say("waiting for commands")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		answer, err := command(lines.Text())
		switch {
		case err != nil:
			say("failed %s", strings.ReplaceAll(err.Error(), "\n", "; "))
		case answer != "":
			say("done %s", answer)
		default:
			say("done")
		}
	}
	return errors.Join(errors.New("the console's input has ended"), lines.Err())
}

// quietTerminal keeps a terminal from repeating what is typed.
func quietTerminal(fd int) error {
	settings, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("the console is no terminal: %w", err)
	}
	settings.Lflag &^= unix.ECHO
	return unix.IoctlSetTermios(fd, unix.TCSETS, settings)
}

// command carries out a line.
func command(line string) (string, error) {
	w := &words{rest: strings.Fields(line)}
	name := w.text()
	run, ok := commands()[name]
	if !ok {
		return "", fmt.Errorf("no command is named %q", name)
	}
	return run(w)
}

// commands by their names. Sizes and offsets are in bytes; SEED names a stream
// of package traffic. Disks, in obeydisk.go:
//
//	write FILE OFFSET LENGTH SEED   past the page cache, from several threads; then fsync
//	read FILE OFFSET LENGTH SEED    past the page cache, and check
//	flush FILE
//	mount DEVICE DIR                an ext4 file system
//	unmount DIR
//	fill DIR COUNT LENGTH SEED      write so many files through the page cache
//	check DIR COUNT LENGTH SEED     read them from the disk, and check
//	journal COUNT DEVICE...         write, flush and tell, a record at a time
//	identify DISK                   the serial number, revision and model of an ATA disk
//	eject DRIVE                     open a CD-ROM drive's tray
//	inserted DRIVE                  whether there is a disc in a CD-ROM drive: yes or no
//
// Networks, in obeynet.go:
//
//	address INTERFACE ADDRESS/BITS  set it, and bring the interface up
//	ping ADDRESS COUNT LENGTH
//	reaches ADDRESS                 whether it answers within a few seconds: yes or no
//	exchange ADDRESS:PORT CONNECTIONS LENGTH SEED
//	offloads INTERFACE              those that ethtool shows to be on
//
// Ports of virtio-serial, in obeyport.go:
//
//	port NAME LENGTH SEED           exchange streams
//	login DEVICE                    ask for a name at a terminal, then repeat lines
//
// Everything else, below:
//
//	report FACT
//	cat FILE                        its text on one line
//	list DIR                        its entries
//	readlink FILE
//	random FILE LENGTH              read, as hexadecimal digits
//	touch LENGTH                    use so much memory, and give it back
//	poweroff
func commands() map[string]func(*words) (string, error) {
	return map[string]func(*words) (string, error){
		"write":    writeDisk,
		"read":     readDisk,
		"flush":    flush,
		"mount":    mountExt4,
		"unmount":  unmount,
		"fill":     fillFiles,
		"check":    checkFiles,
		"journal":  journal,
		"identify": identify,
		"eject":    eject,
		"inserted": inserted,
		"address":  setAddress,
		"dhcp":     askDHCP,
		"lookup":   lookup,
		"ping":     ping,
		"reaches":  reaches,
		"exchange": exchange,
		"offloads": offloads,
		"port":     exchangePort,
		"login":    login,
		"report":   oneReport,
		"cat":      cat,
		"list":     list,
		"readlink": readlink,
		"random":   random,
		"touch":    touch,
		"poweroff": powerOff,
	}
}

// words are a command's arguments. What is wrong with them is kept until end.
type words struct {
	rest []string
	err  error
}

// text takes the next word.
func (w *words) text() string {
	if len(w.rest) == 0 {
		w.err = errors.Join(w.err, errors.New("too few words"))
		return ""
	}
	word := w.rest[0]
	w.rest = w.rest[1:]
	return word
}

// number takes the next word as a number.
func (w *words) number() uint64 {
	n, err := strconv.ParseUint(w.text(), 10, 62)
	w.err = errors.Join(w.err, err)
	return n
}

// all takes the words that are left.
func (w *words) all() []string {
	rest := w.rest
	w.rest = nil
	return rest
}

// end tells what was wrong, or that there are words left.
func (w *words) end() error {
	if len(w.rest) > 0 {
		w.err = errors.Join(w.err, fmt.Errorf("%q is too much", w.rest))
	}
	return w.err
}
