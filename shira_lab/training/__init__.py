"""Batches of stories, the figures a model is measured by, and training itself."""

from shira_lab.errors import need_extra

need_extra(__name__, "train", "accelerate", "psutil", "tokenizers", "tqdm", "transformers")
