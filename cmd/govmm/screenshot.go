package main

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"
)

func (a *app) screenshotCommand() *cobra.Command {
	var asText bool
	var output, device string
	cmd := &cobra.Command{
		Use:   "screenshot NAME",
		Short: "Take a picture of a machine's screen",
		Long: `screenshot writes what the screen of the running machine NAME shows as a PNG
picture, to a file or to standard output. With --text it is the text of the
screen, if the guest has the display adapter in a text mode, or with --device
of a serial port or console of type vc, which has a screen of its own.

A machine has a screen if its domain has a <video> device.`,
		Example: `  govmm screenshot -o screen.png vm
  govmm screenshot --text vm
  govmm screenshot --text --device serial0 vm`,
		Args:              argsNAME(0, 0, ""),
		ValidArgsFunction: machineNames(noFiles),
		RunE: func(c *cobra.Command, args []string) error {
			if output == "" && !asText && isTerminal(a.stdout) {
				return usageError(c, errors.New("standard output is a terminal: use -o FILE for a picture, or --text"))
			}
			if device != "" && !asText {
				return usageError(c, errors.New("--device needs --text: such a screen has no picture"))
			}
			return withMachine(c.Context(), args[0], func(ctx context.Context, r remote) error {
				take := r.picture
				if asText {
					take = func(ctx context.Context) ([]byte, error) { return r.text(ctx, device) }
				}
				screen, err := take(ctx)
				if err != nil {
					return err
				}
				if output != "" {
					return os.WriteFile(output, screen, 0o644)
				}
				_, err = a.stdout.Write(screen)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asText, "text", false, "print the text of the screen")
	cmd.Flags().StringVar(&device, "device", "", "the screen of this device (serial0, console0) rather than the display's")
	cmd.Flags().StringVarP(&output, "output", "o", "", "the file to write (default: standard output)")
	return cmd
}

// text returns the machine's screen in a text mode, or that of a device.
func (r *remote) text(ctx context.Context, device string) ([]byte, error) {
	var answer struct{ Text string }
	arguments := map[string]string{}
	if device != "" {
		arguments["device"] = device
	}
	err := r.client.Execute(ctx, "__com.github.govmm_screen-text", arguments, &answer)
	return []byte(answer.Text + "\n"), err
}

// picture returns the machine's screen as a PNG. The machine writes it to a file;
// its state directory is where both can, and goes away with it if this is killed.
func (r *remote) picture(ctx context.Context) ([]byte, error) {
	f, err := os.CreateTemp(r.Path, "screenshot-*.png")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	request := map[string]string{"filename": f.Name(), "format": "png"}
	if err := r.client.Execute(ctx, "screendump", request, nil); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}
