package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// jsonFlag gives a command the flag --json.
func jsonFlag(c *cobra.Command, v *bool) {
	c.Flags().BoolVar(v, "json", false, "print JSON")
}

// printJSON prints a value for programs.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// field is a line of a list of names and values.
type field struct {
	name  string
	value any
}

// printFields prints names and values below each other, as dominfo of virsh does.
func printFields(w io.Writer, fields []field) error {
	t := tabwriter.NewWriter(w, 0, 8, 1, ' ', 0)
	for _, f := range fields {
		fmt.Fprintf(t, "%s:\t%v\n", f.name, f.value)
	}
	return t.Flush()
}

// newTable begins a table whose columns are separated by tabs.
func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 8, 2, ' ', 0) }
