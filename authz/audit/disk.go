package audit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// The file systems that keep files in memory (statfs(2)).
const (
	tmpfs = 0x01021994
	ramfs = 0x858458f6
)

// inMemory reports a folder, or the nearest one above it that is there, whose files
// are gone with the machine. What cannot be told is not in memory.
func inMemory(folder string) bool {
	for {
		_, err := os.Stat(folder)
		above := filepath.Dir(folder)
		if !errors.Is(err, fs.ErrNotExist) || above == folder {
			break
		}
		folder = above
	}
	var status syscall.Statfs_t
	if err := syscall.Statfs(folder, &status); err != nil {
		return false
	}
	kind := uint32(status.Type)
	return kind == tmpfs || kind == ramfs
}

// room is how much of a folder's disk is free for this process's user. What cannot be
// told is taken for enough: a full disk shows when it is written to.
func room(folder string) (free uint64, known bool) {
	var status syscall.Statfs_t
	if err := syscall.Statfs(folder, &status); err != nil {
		return 0, false
	}
	return status.Bavail * uint64(status.Bsize), true
}
