package bank

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// grace is how long a process may take to end after it was asked to.
const grace = 5 * time.Second

// process is a program of ours that runs. Its output goes to a file.
type process struct {
	name, log string
	group     int
	// gone is closed when it has ended, and err is set before that.
	gone chan struct{}
	err  error
	// killed says that kill has ended it.
	killed bool
}

// start runs a program in a process group of its own, so that a Ctrl-C at the
// terminal reaches us alone and everything can be stopped in order.
func start(dir, name, path string, environment []string, arguments ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), gone: make(chan struct{})}
	output, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	command := exec.Command(path, arguments...)
	command.Dir = dir
	command.Env = append(os.Environ(), environment...)
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = ownGroup()

	started := make(chan error, 1)
	go func() {
		// The kernel ends the process with the thread that started it, so that
		// thread must last as long as the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.gone)
		defer output.Close()
		err := command.Start()
		if err == nil {
			p.group = command.Process.Pid
		}
		started <- err
		if err == nil {
			p.err = command.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// kill ends the process group at once; stop has nothing to do after it.
func (p *process) kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.gone
	p.killed = true
	return nil
}

// signal sends the process group a signal.
func (p *process) signal(signal syscall.Signal) error {
	if err := syscall.Kill(-p.group, signal); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// stop asks the process group to end, and ends what does not.
func (p *process) stop() error {
	if p.killed {
		return nil
	}
	defer syscall.Kill(-p.group, syscall.SIGKILL) // What the process left behind, if anything.
	select {
	case <-p.gone:
		return fmt.Errorf("%s: ended by itself: %w\n%s", p.name, p.err, p.tail())
	default:
	}
	if err := syscall.Kill(-p.group, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	select {
	case <-p.gone:
		return nil
	case <-time.After(grace):
	}
	if err := syscall.Kill(-p.group, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	<-p.gone
	return fmt.Errorf("%s: did not end within %s of being asked to", p.name, grace)
}

// tail is the end of what the process wrote.
func (p *process) tail() string {
	output, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
