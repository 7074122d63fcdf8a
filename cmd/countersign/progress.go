package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress is told on a terminal, and nowhere else.
type progress struct {
	// to is nil where nobody looks.
	to    io.Writer
	now   func() time.Time
	began time.Time
	last  time.Time
	// first are the records that were told when it began.
	first int
}

// progressEvery is how long a line of progress stands.
const progressEvery = time.Second

func newProgress(to io.Writer, first int) *progress {
	p := &progress{now: time.Now, began: time.Now(), first: first}
	if file, ok := to.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.to = to
		}
	}
	return p
}

// tell writes over the line before, if that has stood long enough.
func (p *progress) tell(c *comparison) {
	now := p.now()
	if p.to == nil || now.Sub(p.last) < progressEvery {
		return
	}
	p.last = now
	rate := float64(c.Records-p.first) / max(now.Sub(p.began).Seconds(), 1e-3)
	fmt.Fprintf(p.to, "\r\x1b[K%d records, to %s, %.0f a second, %d flipped", c.Records, c.To.Format(time.RFC3339), rate, c.Counts[flipped])
}

// end takes the line away.
func (p *progress) end() {
	if p.to != nil && !p.last.IsZero() {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}
