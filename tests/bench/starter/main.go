// Command starter starts machines in one process, with package vmm as a library
// (the domain of the file that is its argument, again and again). For each line
// on its standard input it starts one more and answers
//
//	done 1 NANOSECONDS
//
// which is the time from making the machine to the first character that its
// guest prints, a '!'. They all run until its input ends.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/vmm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "starter:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	if len(args) != 1 {
		return errors.New("usage: starter FILE")
	}
	file, err := os.Open(args[0])
	if err != nil {
		return err
	}
	domain, _, err := domcfg.Parse(args[0], file)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	var machines []*vmm.Machine
	defer func() {
		for _, m := range machines {
			err = errors.Join(err, m.Close())
		}
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		start := time.Now()
		said := make(mark, 1)
		m, err := vmm.New(ctx, domain, vmm.Options{Stdout: said})
		if err != nil {
			return err
		}
		machines = append(machines, m)
		if err := m.Start(); err != nil {
			return err
		}
		select {
		case <-said:
		case <-ctx.Done():
			return ctx.Err()
		}
		fmt.Printf("done 1 %d\n", time.Since(start).Nanoseconds())
	}
	return nil
}

// mark is a guest's output, which tells of the first '!' in it.
type mark chan struct{}

// Write implements io.Writer.
func (m mark) Write(p []byte) (int, error) {
	if bytes.IndexByte(p, '!') >= 0 {
		select {
		case m <- struct{}{}:
		default: // it has told
		}
	}
	return len(p), nil
}
