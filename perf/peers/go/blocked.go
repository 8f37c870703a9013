// blocked memory|cancel [TASKS]: ../../memory.c and ../../cancel.c in Go: goroutines that sleep, or wait for a context, on two threads.
package main

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// KiB in use, page tables included.
func inUse() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	sum := 0.0
	for _, line := range strings.Split(string(status), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 1 && (fields[0] == "VmRSS:" || fields[0] == "VmPTE:") {
			kb, err := strconv.Atoi(fields[1])
			if err != nil {
				panic(err)
			}
			sum += float64(kb)
		}
	}
	return sum
}

// Goroutines that wait until the context is cancelled; how many did so.
func cancelAll(tasks int, atRest func()) (cancelled int64, took time.Duration) {
	var blocked int64
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for i := 0; i < tasks; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			atomic.AddInt64(&blocked, 1)
			<-ctx.Done()
			if ctx.Err() == context.Canceled {
				atomic.AddInt64(&cancelled, 1)
			}
		}()
	}
	for atomic.LoadInt64(&blocked) < int64(tasks) {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	atRest()
	begin := time.Now()
	cancel()
	group.Wait()
	return cancelled, time.Since(begin)
}

func sleepAll(tasks int) (slept int64, took time.Duration) {
	var group sync.WaitGroup
	begin := time.Now()
	for i := 0; i < tasks; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			time.Sleep(time.Second)
			atomic.AddInt64(&slept, 1)
		}()
	}
	group.Wait()
	return slept, time.Since(begin)
}

func main() {
	runtime.GOMAXPROCS(2)
	if os.Args[1] == "cancel" {
		tasks := number(2, 100000)
		cancelled, took := cancelAll(tasks, func() {})
		check(cancelled == int64(tasks))
		printResult("cancel", "Go", took.Seconds()*1e3, "ms")
		return
	}
	tasks := number(2, 1000000)
	before, kb := inUse(), 0.0
	cancelled, _ := cancelAll(tasks, func() { kb = inUse() - before })
	check(cancelled == int64(tasks))
	slept, took := sleepAll(tasks)
	check(slept == int64(tasks) && took >= time.Second)
	printResult("blocked-memory", "Go", kb/float64(tasks), "KiB/task")
	printResult("blocked-time", "Go", took.Seconds()*1e3, "ms")
}
