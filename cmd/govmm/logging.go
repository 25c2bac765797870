package main

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// logFlags are --log-level and --log-format.
type logFlags struct {
	level  string
	format string
}

func logLevels() []string { return []string{"debug", "info", "warn", "error"} }

func logFormats() []string { return []string{"text", "json"} }

func (f *logFlags) register(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&f.level, "log-level", "warn", "log lines to print on standard error: debug, info, warn or error and worse")
	flags.StringVar(&f.format, "log-format", "text", "form of log lines: text, json")
	complete(root, "log-level", logLevels())
	complete(root, "log-format", logFormats())
}

// complete makes shells offer a flag's values. The flag must have been defined.
func complete(c *cobra.Command, flag string, values []string) {
	err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err)
	}
}

// oneOf checks the value of a flag that has only a few.
func oneOf(flag, value string, values []string) error {
	if slices.Contains(values, value) {
		return nil
	}
	return fmt.Errorf("--%s=%s is not one of %s", flag, value, strings.Join(values, ", "))
}

// logger makes the logger that the flags ask for, writing to w.
func (f *logFlags) logger(w io.Writer) (*slog.Logger, error) {
	if err := oneOf("log-level", f.level, logLevels()); err != nil {
		return nil, err
	}
	if err := oneOf("log-format", f.format, logFormats()); err != nil {
		return nil, err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: level}
	if f.format == "json" {
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	options.ReplaceAttr = shortTime
	return slog.New(slog.NewTextHandler(w, options)), nil
}

// shortTime leaves the date out: a person reads the text form as it comes.
func shortTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		if t, ok := a.Value.Any().(time.Time); ok {
			a.Value = slog.StringValue(t.Format("15:04:05.000"))
		}
	}
	return a
}
