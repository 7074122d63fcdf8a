package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// maxFolders bounds how deep folders are looked into, where links make a circle.
const maxFolders = 32

// sighting is what was seen of files: nil where there was none.
type sighting map[string]fs.FileInfo

// look looks at files, and at all those in folders, through symbolic links: where a
// link leads elsewhere, another file is seen. Names in a folder that begin with a dot
// are left out, as the policy's are.
func look(names ...string) sighting {
	s := sighting{}
	for _, name := range names {
		s.add(name, maxFolders)
	}
	return s
}

func (s sighting) add(name string, depth int) {
	info, err := os.Stat(name)
	if err != nil || !info.IsDir() {
		s[name] = info
		return
	}
	entries, err := os.ReadDir(name)
	if err != nil || depth == 0 {
		s[name] = nil
		return
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			s.add(filepath.Join(name, entry.Name()), depth-1)
		}
	}
}

// same reports that nothing changed between two sightings.
func (s sighting) same(other sighting) bool { return maps.EqualFunc(s, other, sameFile) }

// sameFile does not trust times alone: files that were put in place of others can
// have theirs.
func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.Mode() == b.Mode() && a.ModTime().Equal(b.ModTime())
}

// watcher notices that files changed and are at rest again.
type watcher struct {
	// names are looked at; taken is how they were seen before they were last read.
	names []string
	taken sighting
	last  sighting
}

// settled looks once more. It reports files that are not as they were read, once two
// looks in a row agree on them: what is still being written is waited for.
func (w *watcher) settled() bool {
	now := look(w.names...)
	atRest := now.same(w.last)
	w.last = now
	return atRest && !now.same(w.taken)
}
