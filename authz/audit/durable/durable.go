// Package durable has what the files of audit need to outlast a power failure beside an
// fsync of their own.
package durable

import "os"

// Folder makes the names in a folder as durable as what they name: a file that was
// made, renamed or removed there is so after a power failure, too.
func Folder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
