// spawn WORKERS SHAPE [N]: the shapes of ../../spawn.c in Go: goroutines, and a WaitGroup where the others have a group.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	tasks   = 1000
	grains  = 250 // for each of the groups
	grainNs = 200
)

var groups = number(3, 1000)

var sink uint32

// A chain of multiplications, as Go would drop an empty loop; what it comes to is looked at once in a while.
func spin(turns int) {
	x := uint32(turns)
	for i := 0; i < turns; i++ {
		x = x*1664525 + 1013904223
	}
	if x == 0 {
		atomic.AddUint32(&sink, 1)
	}
}

func spawnAll(n int, body func()) {
	var group sync.WaitGroup
	for i := 0; i < n; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			body()
		}()
	}
	group.Wait()
}

func run(shape string, body func()) {
	switch shape {
	case "batch":
		for i := 0; i < groups; i++ {
			spawnAll(tasks, body)
		}
	case "flat":
		spawnAll(groups*tasks, body)
	case "nested":
		spawnAll(groups, func() { spawnAll(tasks, body) })
	case "grains":
		spawnAll(groups*grains, body)
	default:
		os.Exit(2)
	}
}

func main() {
	workers, shape, all := number(1, 1), os.Args[2], int64(groups*tasks)
	runtime.GOMAXPROCS(workers)
	begin := time.Now()
	spin(10000000)
	turns := int(grainNs / float64(time.Since(begin).Nanoseconds()) * 10000000)
	body := func() {}
	if shape == "grains" {
		all = int64(groups * grains)
		body = func() { spin(turns) }
	}
	begin = time.Now()
	run(shape, body)
	took := float64(time.Since(begin).Nanoseconds())
	var ran int64
	run(shape, func() { atomic.AddInt64(&ran, 1) })
	check(ran == all)
	if shape == "grains" {
		printResult(fmt.Sprintf("%s-%d", shape, workers), "Go", took/1e6, "ms")
	} else {
		printResult(fmt.Sprintf("%s-%d", shape, workers), "Go", took/float64(all), "ns/task")
	}
}
