package hostile

import "sync"

// together has n vCPUs do the same.
func together(n int, do func(vcpu int)) {
	var vcpus sync.WaitGroup
	for i := range n {
		vcpus.Go(func() { do(i) })
	}
	vcpus.Wait()
}

// alongside has another vCPU repeat a nuisance while something is done.
func alongside(nuisance, do func()) {
	stop := make(chan struct{})
	var vcpu sync.WaitGroup
	vcpu.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				nuisance()
			}
		}
	})
	defer vcpu.Wait()
	defer close(stop)
	do()
}
