package order

// forest is rooted trees whose nodes can be linked below others and cut off, and asked for the root of their tree, in
// O(log n) amortised: Sleator and Tarjan's link-cut trees. Each path that was looked at lies in a splay tree, the root of its
// tree leftmost. Nodes count from 1; 0 is none.
type forest struct {
	nodes []splayNode
}

type splayNode struct {
	up          int32 // in the splay tree, or from its root to the node above the path
	left, right int32
}

// grow makes room for nodes up to n.
func (f *forest) grow(n int32) {
	for int32(len(f.nodes)) <= n {
		f.nodes = append(f.nodes, splayNode{})
	}
}

// link puts a root below another tree's node.
func (f *forest) link(root, below int32) {
	f.access(root)
	f.nodes[root].up = below
}

// cut makes a node a root.
func (f *forest) cut(v int32) {
	f.access(v)
	n := &f.nodes[v]
	f.nodes[n.left].up = 0
	n.left = 0
}

// root returns the root of v's tree.
func (f *forest) root(v int32) int32 {
	f.access(v)
	for f.nodes[v].left != 0 {
		v = f.nodes[v].left
	}
	f.splay(v)
	return v
}

// access makes the path from the root to v one splay tree with v on top.
func (f *forest) access(v int32) {
	below := int32(0)
	for at := v; at != 0; at = f.nodes[at].up {
		f.splay(at)
		f.nodes[at].right = below
		below = at
	}
	f.splay(v)
}

// tops reports whether v is the top of its splay tree.
func (f *forest) tops(v int32) bool {
	up := f.nodes[v].up
	return up == 0 || f.nodes[up].left != v && f.nodes[up].right != v
}

func (f *forest) splay(v int32) {
	for !f.tops(v) {
		up := f.nodes[v].up
		if !f.tops(up) {
			over := f.nodes[up].up
			if (f.nodes[over].left == up) == (f.nodes[up].left == v) {
				f.rotate(up)
			} else {
				f.rotate(v)
			}
		}
		f.rotate(v)
	}
}

func (f *forest) rotate(v int32) {
	up := f.nodes[v].up
	over := f.nodes[up].up
	if !f.tops(up) {
		if f.nodes[over].left == up {
			f.nodes[over].left = v
		} else {
			f.nodes[over].right = v
		}
	}
	f.nodes[v].up = over
	var moved int32
	if f.nodes[up].left == v {
		moved = f.nodes[v].right
		f.nodes[v].right, f.nodes[up].left = up, moved
	} else {
		moved = f.nodes[v].left
		f.nodes[v].left, f.nodes[up].right = up, moved
	}
	if moved != 0 {
		f.nodes[moved].up = up
	}
	f.nodes[up].up = v
}
