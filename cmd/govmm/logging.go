package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
)

// logFlags are --log-level and --log-format.
type logFlags struct {
	level  string
	format string
}

func (f *logFlags) register(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&f.level, "log-level", "warn", "lowest level of log lines on standard error: debug, info, warn, error")
	flags.StringVar(&f.format, "log-format", "text", "form of log lines: text, json")
	complete := func(name string, values ...string) {
		// The flag was defined three lines above, so this cannot fail.
		_ = root.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	complete("log-level", "debug", "info", "warn", "error")
	complete("log-format", "text", "json")
}

// logger makes the logger that the flags ask for, writing to w.
func (f *logFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, fmt.Errorf("--log-level=%s is not one of debug, info, warn, error", f.level)
	}
	options := &slog.HandlerOptions{Level: level}
	switch f.format {
	case "text":
		options.ReplaceAttr = shortTime
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("--log-format=%s is not one of text, json", f.format)
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
