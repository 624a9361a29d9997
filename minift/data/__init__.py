"""What the models learn from: data drawn or told by formulas, real files, and the way to batches.

- `shapes`: pictures, a source and three targets at growing distance.
- `world`, `world_tasks`, `world_words`: documents of an invented world, and tasks about it.
- `docs`: the documentation that is already on the machine, as natural text.
- `idx`, `arrays`: pictures from files. `text`: documents, labelled texts and questions from files.
- `shards`: a corpus larger than the memory, as files of token ids that are mapped, not read.
- `batches`: from a data set to batches, as a function of the step.
"""
