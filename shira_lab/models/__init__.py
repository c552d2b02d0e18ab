"""Models to adapt: the one that ships, a folder, a model of the hub, and shapes without weights."""

from shira_lab.errors import need_extra

need_extra(__name__, "train", "httpx2", "huggingface_hub", "tqdm", "transformers")
