// growth_go RANGE VALUE [TOTAL]: ../growth.c with goroutines and a WaitGroup for each group.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

const batch = 1000 // tasks a group while the number of workers grows

func number(i, otherwise int) int {
	if len(os.Args) <= i {
		return otherwise
	}
	n, err := strconv.Atoi(os.Args[i])
	if err != nil {
		panic(err)
	}
	return n
}

func spawnAll(places []uint8) {
	var group sync.WaitGroup
	group.Add(len(places))
	for i := range places {
		go func(place *uint8) {
			*place++
			group.Done()
		}(&places[i])
	}
	group.Wait()
}

func descend(places []uint8, left int) {
	if left == 0 {
		return
	}
	places[left-1]++
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		descend(places, left-1)
		group.Done()
	}()
	group.Wait()
}

func main() {
	what, value, total := os.Args[1], number(2, 1000), number(3, 1000000)
	workers, tasks := 1, value
	if what == "workers" {
		workers, tasks = value, batch
	}
	rounds := 1
	if total > tasks {
		rounds = total / tasks
	}
	runtime.GOMAXPROCS(workers)
	places := make([]uint8, tasks)
	var took time.Duration
	for round := 0; round <= rounds; round++ {
		begin := time.Now()
		if what == "depth" {
			descend(places, tasks)
		} else {
			spawnAll(places)
		}
		if round > 0 {
			took += time.Since(begin)
		}
		for i, n := range places {
			if n != uint8(round+1) {
				fmt.Fprintf(os.Stderr, "%s-%d: task %d has not run once in round %d\n", what, value, i, round)
				os.Exit(1)
			}
		}
	}
	fmt.Printf("%s-%d\t%s\t%.4g\tns/task\n", what, value, runtime.Version(), float64(took.Nanoseconds())/float64(rounds*tasks))
}
