package image

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
)

// rawFormat is the bytes of the store as they are.
func rawFormat() *Format {
	return &Format{
		Name: "raw", Creates: true, zeroed: true, ordered: true,
		Options: []Option{
			{"preallocation", "off, falloc (the space is reserved) or full (it is written)"},
		},
		probe:   func([]byte) bool { return true },
		open:    func(_ context.Context, below block.Layer, _ openOptions) (block.Layer, error) { return below, nil },
		create:  createRaw,
		details: func(below block.Layer) (Details, error) { return Details{Size: below.Size()}, nil },
	}
}

func createRaw(ctx context.Context, below block.Layer, o createOptions) error {
	preallocation := o.values.word("preallocation", "off", "off", "falloc", "full")
	if err := o.values.done(rawFormat()); err != nil {
		return err
	}
	if o.backing != "" {
		return errors.New("a raw image has no backing file; qed and qcow2 have")
	}
	if err := renew(below, o.size); err != nil {
		return err
	}
	switch preallocation {
	case "falloc":
		return reserve(o.path, o.size)
	case "full":
		return fill(ctx, below)
	}
	return nil
}

// renew makes a store one of zeroes, size bytes long. A store of a fixed size
// keeps what it has.
func renew(below block.Layer, size int64) error {
	r, ok := below.(block.Resizer)
	if !ok {
		if size > below.Size() {
			return fmt.Errorf("there are %d bytes, %d are needed: %w", below.Size(), size, unix.ENOSPC)
		}
		return nil
	}
	if err := r.Resize(0); err != nil {
		return err
	}
	return r.Resize(size)
}

// reserve has the host set space for a file aside.
func reserve(path string, size int64) error {
	if path == "" {
		return errors.New("preallocation=falloc is for files")
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	if err != nil {
		err = fmt.Errorf("%s: preallocation=falloc: %w", path, err)
	}
	return errors.Join(err, f.Close())
}

// fill writes zeroes to a whole store.
func fill(ctx context.Context, below block.Layer) error {
	p := make([]byte, chunkSize)
	for at, size := int64(0), below.Size(); at < size; at += int64(len(p)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		p = p[:min(int64(len(p)), size-at)]
		if err := below.WriteVec([][]byte{p}, at); err != nil {
			return err
		}
	}
	return nil
}
