"""What the page of a network shows beyond the network itself: what it computes, why it answers so, and its run."""
