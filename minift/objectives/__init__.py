"""What a model is asked when no one has labelled anything: pure functions of token ids.

- `windows`: a word from its neighbours, or the neighbours from the word (word2vec).
- `masking`, `pairs`: the hidden tokens, and whether two segments follow each other (BERT).
- `causal`: the next token (GPT).
- `spans`: the runs that were cut out (T5).
- `scores`: loss and accuracy of the answers.
"""
