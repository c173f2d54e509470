"""onnxruntime's fused attention as a contestant: MultiHeadAttention, and GroupQueryAttention where it applies."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

import jobs

INTEGERS = ("lengths", "total")


class Prepared:
    """A graph of one operator, its inputs and its outputs."""

    def __init__(self, work, normals, threads):
        if work.element != "f32" or work.task not in ("forward", "decode"):
            raise jobs.Unsupported(f"{work.task} in {work.element}")
        if work.layout != "heads" or work.bias == "soft_cap":
            raise jobs.Unsupported("layout or bias")
        self.work, self.threads = work, threads
        queries = normals.take(jobs.QUERIES, work.query_shape())
        keys = normals.take(jobs.KEYS, work.key_shape())
        values = normals.take(jobs.VALUES, work.value_shape())
        ways = self.many_heads(queries, keys, values, normals) + self.grouped(queries, keys, values)
        if not ways:
            raise jobs.Unsupported("no operator for it")
        session, self.binding = jobs.fastest([self.way(session, binding) for session, binding in ways]).parts
        self.run = self.way(session, self.binding)

    @staticmethod
    def way(session, binding):
        def run():
            session.run_with_iobinding(binding)

        run.parts = session, binding
        return run

    def many_heads(self, queries, keys, values, normals):
        """MultiHeadAttention, with keys and values as a projection or as a cache gives them."""
        work = self.work
        if work.heads != work.key_heads:
            return []
        causal = work.mask == "causal"
        if causal and work.queries != work.keys:
            return []
        added = jobs.bias(work, normals)
        if added is None and work.mask != "none" and not causal:
            added = np.where(jobs.visible(work, normals), np.float32(0), np.float32("-inf"))[None]
        ways = []
        for change in (flat, lambda tensor: tensor):
            feed = {"queries": flat(queries), "keys": change(keys), "values": change(values)}
            names = list(feed)
            if added is not None:
                feed["added"] = added[None]
                names += ["", "", "added"]
            attributes = {"num_heads": work.heads, "unidirectional": int(causal)}
            ways.append(self.session("MultiHeadAttention", names, feed, {"context": None}, attributes))
        return ways

    def grouped(self, queries, keys, values):
        """GroupQueryAttention, always causal: a whole sequence, or its last query and key after a cache."""
        work = self.work
        decoding = work.task == "decode" and work.queries == 1
        if work.bias != "none" or not (decoding or work.mask == "causal" and work.queries == work.keys):
            return []
        lengths, total = np.full(work.batch, work.keys - 1, np.int32), np.array(work.keys, np.int32)
        feed = {"queries": flat(queries), "lengths": lengths, "total": total}
        attributes = {"num_heads": work.heads, "kv_num_heads": work.key_heads}
        if not decoding:
            feed |= {"keys": flat(keys), "values": flat(values)}
            names = ["queries", "keys", "values", "", "", "lengths", "total"]
            outputs = {"context": None, "new_cached_keys": None, "new_cached_values": None}
            return [self.session("GroupQueryAttention", names, feed, outputs, attributes)]
        feed |= {"keys": flat(keys[:, :, -1:]), "values": flat(values[:, :, -1:])}
        # The cache is written where it is read, so that nothing is copied.
        feed |= {"cached_keys": value(keys), "cached_values": value(values)}
        names = ["queries", "keys", "values", "cached_keys", "cached_values", "lengths", "total"]
        outputs = {
            "context": None,
            "new_cached_keys": feed["cached_keys"],
            "new_cached_values": feed["cached_values"],
        }
        return [self.session("GroupQueryAttention", names, feed, outputs, attributes)]

    def session(self, operator, names, feed, outputs, attributes):
        """A session that runs one operator, with its inputs and outputs bound."""

        def tensor(name):
            element = TensorProto.INT32 if name in INTEGERS else TensorProto.FLOAT
            return helper.make_tensor_value_info(name, element, None)

        node = helper.make_node(operator, names, list(outputs), domain="com.microsoft", **attributes)
        graph = helper.make_graph([node], "attention", list(map(tensor, feed)), list(map(tensor, outputs)))
        domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=domains, ir_version=8)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        binding = session.io_binding()
        for name, data in feed.items():
            binding.bind_ortvalue_input(name, value(data))
        for name, data in outputs.items():
            if data is None:
                binding.bind_output(name)
            else:
                binding.bind_ortvalue_output(name, data)
        return session, binding

    def outputs(self):
        work = self.work
        context = self.binding.get_outputs()[0].numpy()
        return [context.reshape(work.batch, work.queries, work.heads, work.value_width).swapaxes(1, 2)]


def flat(tensor):
    """[batch, head, position, feature] as [batch, position, head · feature]."""
    batch, heads, positions, features = tensor.shape
    return np.ascontiguousarray(tensor.swapaxes(1, 2)).reshape(batch, positions, heads * features)


def value(data):
    if isinstance(data, onnxruntime.OrtValue):
        return data
    return onnxruntime.OrtValue.ortvalue_from_numpy(data)


if __name__ == "__main__":
    jobs.serve(Prepared, f"onnxruntime {onnxruntime.__version__}")
