package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/govmm/govmm/tests/initramfs/early"
	"github.com/govmm/govmm/tests/initramfs/traffic"
	"golang.org/x/sys/unix"
)

const (
	requestSize = 512 << 10 // bytes of a request past the page cache
	inFlight    = 4         // such requests at once
	recordSize  = 16 << 10  // bytes of a journal's record
)

func writeDisk(w *words) (string, error) {
	return direct(w, os.O_RDWR, func(f *os.File, p []byte, seed, offset uint64) error {
		traffic.Fill(p, seed, offset)
		_, err := f.WriteAt(p, int64(offset))
		return err
	}, (*os.File).Sync)
}

func readDisk(w *words) (string, error) {
	return direct(w, os.O_RDONLY, func(f *os.File, p []byte, seed, offset uint64) error {
		if _, err := f.ReadAt(p, int64(offset)); err != nil {
			return err
		}
		return traffic.Check(p, seed, offset)
	}, func(*os.File) error { return nil })
}

// direct does a range of a file by requests past the page cache, several at a
// time, and then what is last.
func direct(w *words, access int, request func(f *os.File, p []byte, seed, offset uint64) error, last func(*os.File) error) (string, error) {
	name, offset, length, seed := w.text(), w.number(), w.number(), w.number()
	if err := w.end(); err != nil {
		return "", err
	}
	f, err := os.OpenFile(name, access|unix.O_DIRECT, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	errs := make([]error, inFlight)
	var workers sync.WaitGroup
	for i := range errs {
		workers.Go(func() {
			p, err := aligned(requestSize)
			if err != nil {
				errs[i] = err
				return
			}
			defer func() { errs[i] = errors.Join(errs[i], unix.Munmap(p)) }()
			for at := uint64(i) * requestSize; at < length && errs[i] == nil; at += inFlight * requestSize {
				errs[i] = request(f, p[:min(requestSize, length-at)], seed, offset+at)
			}
		})
	}
	workers.Wait()
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	return "", last(f)
}

// aligned is memory that any disk takes.
func aligned(n int) ([]byte, error) {
	return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
}

func flush(w *words) (string, error) {
	name := w.text()
	if err := w.end(); err != nil {
		return "", err
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return "", f.Sync()
}

func mountExt4(w *words) (string, error) {
	m := early.Mount{Source: w.text(), Target: w.text(), Type: "ext4"}
	if err := w.end(); err != nil {
		return "", err
	}
	return "", m.Do()
}

func unmount(w *words) (string, error) {
	dir := w.text()
	if err := w.end(); err != nil {
		return "", err
	}
	return "", unix.Unmount(dir, 0)
}

func fillFiles(w *words) (string, error) {
	return eachFile(w, func(name string, length, seed uint64) error {
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := traffic.Send(f, length, seed); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return f.Sync()
	})
}

func checkFiles(w *words) (string, error) {
	const pages = "1"
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte(pages), 0); err != nil {
		return "", err
	}
	return eachFile(w, func(name string, length, seed uint64) error {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := traffic.Receive(f, length, seed); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// eachFile calls do for the files 0, 1... of a directory, with seeds that
// differ.
func eachFile(w *words, do func(name string, length, seed uint64) error) (string, error) {
	dir, count, length, seed := w.text(), w.number(), w.number(), w.number()
	if err := w.end(); err != nil {
		return "", err
	}
	for i := range count {
		if err := do(filepath.Join(dir, strconv.FormatUint(i, 10)), length, seed+i); err != nil {
			return "", err
		}
	}
	return "", nil
}

// journal writes records to disks, on all of them at once. Of each record it
// says on the console that it is safe, after a flush: "flushed DEVICE NUMBER".
// Record n is of seed n, at n times its size.
func journal(w *words) (string, error) {
	count, devices := w.number(), w.all()
	if err := w.end(); err != nil {
		return "", err
	}
	errs := make([]error, len(devices))
	var writers sync.WaitGroup
	for i, name := range devices {
		writers.Go(func() { errs[i] = writeJournal(name, count) })
	}
	writers.Wait()
	return "", errors.Join(errs...)
}

func writeJournal(name string, count uint64) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	record := make([]byte, recordSize)
	for n := range count {
		traffic.Fill(record, n, 0)
		if _, err := f.WriteAt(record, int64(n*recordSize)); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		say("flushed %s %d", name, n)
	}
	return nil
}
