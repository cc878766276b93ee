"""The two classes that `explanations` uses, behind one import, because the library is optional."""

from xaitk_saliency.impls.gen_classifier_conf_sal.occlusion_scoring import OcclusionScoring
from xaitk_saliency.impls.perturb_image.sliding_window import SlidingWindow

__all__ = ["OcclusionScoring", "SlidingWindow"]
