// Verifies a log of ChittyConnect with Go's implementation of signed notes and tiled logs (golang.org/x/mod/sumdb),
// which shares no line with this project: the checkpoint's signature, every entry's inclusion, and that every smaller
// tree is the beginning of the present one.
//
//	apt-get install golang-go golang-golang-x-mod-dev
//	GO111MODULE=off GOPATH=/usr/share/gocode go run docs/verify-log.go http://127.0.0.1:8787
//
// It ends with 1 and a reason when something does not fit.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func get(path string) []byte {
	response, err := http.Get(os.Args[1] + path)
	check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(err)
	if response.StatusCode != 200 {
		check(fmt.Errorf("%s: %d", path, response.StatusCode))
	}
	return body
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Height 8 in Go's own log has paths that begin with tile/8, which tlog-tiles leaves out.
func path(t tlog.Tile) string {
	return "/log/" + strings.Replace(strings.Replace(t.Path(), "tile/8/", "tile/", 1), "tile/data/", "tile/entries/", 1)
}

type tiles struct{}

func (tiles) Height() int { return 8 }
func (tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, t := range wanted {
		all = append(all, get(path(t)))
	}
	return all, nil
}
func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func main() {
	var published struct {
		Keys []struct{ Key, Status string }
	}
	check(json.Unmarshal(get("/log/keys"), &published))
	var verifiers []note.Verifier
	for _, k := range published.Keys {
		v, err := note.NewVerifier(k.Key)
		check(err)
		verifiers = append(verifiers, v)
	}
	opened, err := note.Open(get("/log/checkpoint"), note.VerifierList(verifiers...))
	check(err)
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	root, err := base64.StdEncoding.DecodeString(lines[2])
	check(err)
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	reader := tlog.TileHashReader(tree, tiles{})
	checked := int64(0)
	for from := int64(0); from < size; from += 256 {
		t := tlog.Tile{H: 8, L: -1, N: from / 256, W: 256}
		if size-from < 256 {
			t.W = int(size - from)
		}
		data := get(path(t))
		for at := from; len(data) > 0; at++ {
			length := int(binary.BigEndian.Uint16(data))
			proof, err := tlog.ProveRecord(size, at, reader)
			check(err)
			check(tlog.CheckRecord(proof, size, tree.Hash, at, tlog.RecordHash(data[2:2+length])))
			data = data[2+length:]
			checked++
		}
	}
	for older := int64(1); older < size; older++ {
		proof, err := tlog.ProveTree(size, older, reader)
		check(err)
		was, err := tlog.TreeHash(older, reader)
		check(err)
		check(tlog.CheckTree(proof, size, tree.Hash, older, was))
	}
	fmt.Printf("%s: signed by %d, size %d: %d entries and %d older trees proved\n", lines[0], len(opened.Sigs), size, checked, size-1)
}
