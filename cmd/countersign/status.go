package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/console"
)

const (
	// statusTime bounds how long a process is waited for.
	statusTime = 5 * time.Second
	// maxStatus bounds what one says, in bytes.
	maxStatus = 1 << 20
	// askedAtOnce bounds how many are asked side by side.
	askedAtOnce = 16
)

const statusPurpose = `say which revision each process enforces, and whether all agree

  countersign status 127.0.0.1:9192 10.0.0.7:9192 https://proxy.example/a

Each ADDR is the admin address of a Countersign that serves, or a URL that leads there.

Exit codes: 0 all enforce one revision, 1 they differ, or one does not answer or enforces
none yet, 2 wrong arguments.`

// processStatus is what is known of one process.
type processStatus struct {
	Address string `json:"address"`
	// Fault says why nothing is known, or "".
	Fault  string          `json:"fault,omitempty"`
	Status *console.Status `json:"status,omitempty"`
}

// fleetStatus is what is known of all.
type fleetStatus struct {
	// Agree says that all answered, and enforce one revision.
	Agree     bool            `json:"agree"`
	Processes []processStatus `json:"processes"`
}

// fleet says what each process enforces.
func fleet(ctx context.Context, args []string, w world) error {
	var output string
	addresses, err := operands("status", statusPurpose, args, w, func(f *flag.FlagSet) { outputFlag(f, &output) })
	if err != nil {
		return err
	}
	if len(addresses) == 0 {
		fmt.Fprintln(w.stderr, "countersign status: takes the admin address of at least one Countersign; see countersign status --help")
		return errArguments
	}
	targets := make([]string, len(addresses))
	for i, address := range addresses {
		if targets[i] = statusURL(address); targets[i] == "" {
			fmt.Fprintf(w.stderr, "countersign status: %q is neither host:port nor a URL\n", address)
			return errArguments
		}
	}
	told := askAll(ctx, addresses, targets)
	if output == "json" {
		err = json.NewEncoder(w.stdout).Encode(told)
	} else {
		err = told.write(w.stdout)
	}
	if err == nil && !told.Agree {
		return errRefused
	}
	return err
}

// statusURL is where an address is asked, or "".
func statusURL(address string) string {
	if !strings.Contains(address, "://") {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return ""
		}
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return u.JoinPath("status").String()
}

func askAll(ctx context.Context, addresses, targets []string) fleetStatus {
	told := fleetStatus{Agree: true, Processes: make([]processStatus, len(targets))}
	client := &http.Client{Timeout: statusTime}
	turns := make(chan struct{}, askedAtOnce)
	var asking sync.WaitGroup
	for i := range targets {
		asking.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			told.Processes[i] = askStatus(ctx, client, addresses[i], targets[i])
		})
	}
	asking.Wait()
	for _, each := range told.Processes {
		first := told.Processes[0].Status
		if each.Status == nil || first == nil || each.Status.Revision == "" || each.Status.Revision != first.Revision {
			told.Agree = false
		}
	}
	return told
}

func askStatus(ctx context.Context, client *http.Client, address, target string) processStatus {
	status, err := fetchStatus(ctx, client, target)
	if err != nil {
		return processStatus{Address: address, Fault: err.Error()}
	}
	return processStatus{Address: address, Status: status}
}

func fetchStatus(ctx context.Context, client *http.Client, target string) (*console.Status, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		var fault *url.Error
		if errors.As(err, &fault) { // its URL is told anyway
			err = fault.Err
		}
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answers %s: is this the admin address of a Countersign?", response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxStatus+1))
	if err != nil {
		return nil, err
	}
	var status console.Status
	if len(text) > maxStatus || json.Unmarshal(text, &status) != nil {
		return nil, errors.New("does not answer as a Countersign does")
	}
	return &status, nil
}

// write tells it to a person. What processes say is made visible: it came over a network.
func (s *fleetStatus) write(to io.Writer) error {
	revisions := map[string]int{}
	for _, each := range s.Processes {
		fmt.Fprintln(to, visible(each.Address))
		if each.Status == nil {
			fmt.Fprintf(to, "  not known: %s\n", visible(each.Fault))
			continue
		}
		revisions[each.Status.Revision]++
		writeStatus(to, each.Status)
	}
	if s.Agree {
		_, err := fmt.Fprintf(to, "AGREE    %d enforce one revision\n", len(s.Processes))
		return err
	}
	_, err := fmt.Fprintf(to, "DIFFER   %d asked, %d answered, %d revisions\n", len(s.Processes), s.answered(), len(revisions))
	return err
}

func (s *fleetStatus) answered() int {
	n := 0
	for _, each := range s.Processes {
		if each.Status != nil {
			n++
		}
	}
	return n
}

func writeStatus(to io.Writer, status *console.Status) {
	ready := ""
	if !status.Ready {
		ready = ", not ready"
	}
	fmt.Fprintf(to, "  revision %s since %s%s\n", visible(cmp.Or(status.Revision, "(none yet)")), status.Since.UTC().Format(time.RFC3339), ready)
	if status.Set != "" {
		fmt.Fprintf(to, "  bundles  %s: %s\n", visible(status.Set), visible(authz.BundleNames(status.Bundles)))
	}
	if pinned := status.Pinned; pinned != nil {
		fmt.Fprintf(to, "  pinned   to %s since %s\n", visible(pinned.Set), pinned.Since.UTC().Format(time.RFC3339))
	}
	if refused := status.Refused; refused != nil {
		fmt.Fprintf(to, "  refused  at %s: %s\n", refused.At.UTC().Format(time.RFC3339), visible(refused.Because))
	}
}
