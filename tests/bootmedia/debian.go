package bootmedia

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	debianLabel = "govmm-root" // of the file system
	debianMiB   = 480          // of the partition: some 280 MiB of files, and room to run
)

// debianPackages are installed beside those of debootstrap's variant minbase.
var debianPackages = []string{"systemd-sysv", "initramfs-tools", "zstd", "linux-image-cloud-amd64"}

// debianFiles make the system one that a test can use: its name, its root by
// label, so that the bus of its disk does not matter, and no password for root.
// An emulated guest takes longer than a device is waited for by default.
var debianFiles = map[string]string{
	"etc/hostname":                         "govmm-guest\n",
	"etc/hosts":                            "127.0.0.1 localhost govmm-guest\n",
	"etc/fstab":                            "LABEL=" + debianLabel + " / ext4 errors=remount-ro 0 0\n",
	"etc/systemd/system.conf.d/tests.conf": "[Manager]\nDefaultDeviceTimeoutSec=15min\nDefaultTimeoutStartSec=15min\n",
}

// debianDrop are the parts that nobody reads in a test, and timers that would
// run in one.
var debianDrop = []string{
	"var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale",
	"usr/share/info", "usr/share/i18n", "etc/systemd/system/timers.target.wants",
}

const debianConfig = grubConfig + `echo "GRUB starts Linux"
linux /vmlinuz root=LABEL=` + debianLabel + ` ro quiet console=ttyS0 panic=-1
initrd /initrd.img
boot
`

// debianDisk is Debian's root file system with systemd and a login on ttyS0,
// where root has no password. Once made it stays, whatever is new in the
// archive.
func debianDisk() (plan, error) {
	key, err := stamps(packaged{grubBootImg, "grub-pc-bin"})
	if err != nil {
		return plan{}, err
	}
	key = append(key, debianConfig, fmt.Sprint(debianMiB, debianPackages, debianFiles, debianDrop))
	return plan{file: "disk.img", key: key, make: makeDebianDisk}, nil
}

func makeDebianDisk(ctx context.Context, dir string) error {
	if os.Geteuid() != 0 {
		return errors.New("only root makes a root file system")
	}
	for _, t := range []tool{debootstrap, mke2fs, grubMkimage, {"wget", "wget"}} { // before the long part
		if _, err := t.find(); err != nil {
			return err
		}
	}
	suite, archive, err := debianArchive(ctx, dir)
	if err != nil {
		return err
	}
	root := filepath.Join(dir, "root")
	defer os.RemoveAll(root)
	// What debootstrap mounts and starts is in namespaces of its own, and ends
	// with it, also when it is stopped half-way.
	apart := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	_, err = debootstrap.runAs(ctx, dir, apart, "--variant=minbase",
		"--include="+strings.Join(debianPackages, ","), suite, root, archive)
	if err != nil {
		return err
	}
	if err := configureDebian(root); err != nil {
		return err
	}
	return ext4Disk(ctx, dir, root, debianMiB, debianLabel)
}

func configureDebian(root string) error {
	for _, name := range debianDrop {
		if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "var/cache/apt/archives/partial"), 0o755); err != nil {
		return err
	}
	for name, text := range debianFiles {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := noRootPassword(filepath.Join(root, "etc/shadow")); err != nil {
		return err
	}
	return writeGRUBConfig(root, debianConfig)
}

// noRootPassword empties the second field of root's line (shadow(5)).
func noRootPassword(shadow string) error {
	text, err := os.ReadFile(shadow)
	if err != nil {
		return err
	}
	lines := strings.SplitAfter(string(text), "\n")
	for i, line := range lines {
		if f := strings.SplitN(line, ":", 3); len(f) == 3 && f[0] == "root" {
			lines[i] = "root::" + f[2]
		}
	}
	return os.WriteFile(shadow, []byte(strings.Join(lines, "")), 0o640)
}

// debianArchive is this machine's release of Debian and where apt gets it from.
func debianArchive(ctx context.Context, dir string) (suite, uri string, err error) {
	targets := func() (string, string, error) {
		text, err := aptGet.run(ctx, dir, "indextargets", "--format", "$(LABEL)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)", "Created-By: Packages")
		if err != nil {
			return "", "", err
		}
		suite, uri := parseTargets(text)
		if uri == "" {
			return "", "", errors.New("apt has no list of Debian's main archive (/etc/apt/sources.list)")
		}
		return suite, uri, nil
	}
	if suite, uri, err = targets(); err == nil {
		return suite, uri, nil
	}
	if _, updateErr := aptGet.run(ctx, dir, "-q", "update"); updateErr != nil {
		return "", "", fmt.Errorf("%w; and apt-get update failed: %w", err, updateErr)
	}
	return targets()
}

// parseTargets finds, among lines of label, component, code name and address,
// the archive of a release, not of its updates.
func parseTargets(text string) (suite, uri string) {
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) == 4 && f[0] == "Debian" && f[1] == "main" && f[2] != "" && !strings.Contains(f[2], "-") {
			return f[2], f[3]
		}
	}
	return "", ""
}
