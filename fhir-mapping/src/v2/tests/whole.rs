//! One message with all that it turns into, as text.

use super::*;

#[test]
fn a_result_keeps_all_that_was_sent() {
    let draft = draft(CBC);
    let resources = &draft.groups[0].resources;
    let leukocytes = resources
        .iter()
        .find(|r| r.resource_type() == Some("Observation"));
    insta::assert_snapshot!(format_pretty(leukocytes.unwrap()), @r#"
    {
      "resourceType": "Observation",
      "id": "b911b54f-fd9a-55aa-9489-25a77ea3d17f",
      "meta": {
        "source": "urn:wayside:device:bench#77"
      },
      "basedOn": [
        {
          "reference": "ServiceRequest/56207fcf-a89a-58b5-a682-47f6d0cbc069"
        }
      ],
      "status": "final",
      "category": [
        {
          "coding": [
            {
              "system": "http://terminology.hl7.org/CodeSystem/observation-category",
              "code": "laboratory"
            }
          ]
        }
      ],
      "code": {
        "coding": [
          {
            "system": "urn:wayside:device:bench",
            "code": "WBC",
            "display": "Leukocytes"
          },
          {
            "system": "http://loinc.org",
            "code": "6690-2",
            "display": "WBC"
          }
        ],
        "text": "Leukocytes"
      },
      "effectiveDateTime": "2026-11-24T10:05:00+00:00",
      "issued": "2026-11-24T10:14:00+03:00",
      "valueQuantity": {
        "value": 12.40,
        "unit": "10^3/uL",
        "system": "http://unitsofmeasure.org",
        "code": "10*3/uL"
      },
      "interpretation": [
        {
          "coding": [
            {
              "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
              "code": "H",
              "display": "High"
            }
          ]
        }
      ],
      "specimen": {
        "reference": "Specimen/a2f3b866-af42-55a7-8a13-b3e5ffc8942e"
      },
      "device": {
        "display": "CBC-LINE"
      },
      "referenceRange": [
        {
          "low": {
            "value": 4.00,
            "unit": "10^3/uL",
            "system": "http://unitsofmeasure.org",
            "code": "10*3/uL"
          },
          "high": {
            "value": 10.00,
            "unit": "10^3/uL",
            "system": "http://unitsofmeasure.org",
            "code": "10*3/uL"
          },
          "text": "4.00-10.00"
        }
      ]
    }
    "#);
    let report = resources
        .iter()
        .find(|r| r.resource_type() == Some("DiagnosticReport"));
    insta::assert_snapshot!(format_pretty(report.unwrap()), @r#"
    {
      "resourceType": "DiagnosticReport",
      "id": "cd8272ee-2457-5a90-9a15-7c36299f4677",
      "meta": {
        "source": "urn:wayside:device:bench#77"
      },
      "extension": [
        {
          "url": "http://hl7.org/fhir/5.0/StructureDefinition/extension-DiagnosticReport.note",
          "valueAnnotation": {
            "text": "Sample & smear seen"
          }
        }
      ],
      "identifier": [
        {
          "type": {
            "coding": [
              {
                "system": "http://terminology.hl7.org/CodeSystem/v2-0203",
                "code": "PLAC"
              }
            ]
          },
          "value": "ORD-9",
          "assigner": {
            "display": "EMR"
          }
        },
        {
          "type": {
            "coding": [
              {
                "system": "http://terminology.hl7.org/CodeSystem/v2-0203",
                "code": "FILL"
              }
            ]
          },
          "value": "F-100",
          "assigner": {
            "display": "LAB"
          }
        }
      ],
      "basedOn": [
        {
          "reference": "ServiceRequest/56207fcf-a89a-58b5-a682-47f6d0cbc069"
        }
      ],
      "status": "final",
      "category": [
        {
          "coding": [
            {
              "system": "http://terminology.hl7.org/CodeSystem/v2-0074",
              "code": "HM"
            }
          ]
        }
      ],
      "code": {
        "coding": [
          {
            "system": "http://loinc.org",
            "code": "57021-8",
            "display": "CBC W Auto Diff"
          }
        ],
        "text": "CBC W Auto Diff"
      },
      "effectiveDateTime": "2026-11-24T10:00:00+00:00",
      "issued": "2026-11-24T10:14:00+03:00",
      "specimen": [
        {
          "reference": "Specimen/a2f3b866-af42-55a7-8a13-b3e5ffc8942e"
        }
      ],
      "result": [
        {
          "reference": "Observation/b911b54f-fd9a-55aa-9489-25a77ea3d17f"
        },
        {
          "reference": "Observation/0449ec0e-9681-5b1a-9f8b-811ea8a10509"
        },
        {
          "reference": "Observation/220e53ef-29f3-5bce-9b31-76467789de3c"
        }
      ]
    }
    "#);
}
